"""The words of the accuracy report, in English and Chinese."""

from __future__ import annotations

LABELS: dict[str, dict[str, str]] = {
    "en": {
        "title": "Accuracy of a face pack",
        "subtitle": (
            "Terms are those of ISO/IEC 19795-1. Intervals hold 95 % and resample persons, not "
            "photos."
        ),
        "not_commercial": "This pack's licence does not cover commercial use.",
        "pack": "Face pack",
        "licence": "Licence",
        "source": "Source",
        "made_at": "Made (UTC)",
        "subjects": "Persons with a usable photo",
        "photos": "Photos",
        "fta": "Failure to acquire (FTA)",
        "comparisons": "Comparisons of single photos",
        "genuine": "genuine",
        "impostor": "impostor",
        "verification": "Verification: one photo against one photo",
        "verification_note": "Thresholds are the quantiles of these same impostor scores.",
        "eer": "Equal error rate",
        "stated_fmr": "FMR aimed at",
        "threshold": "Threshold (cosine)",
        "fmr": "FMR (false match rate)",
        "fnmr": "FNMR (false non-match rate)",
        "score_caption": "Cosine scores of genuine and impostor comparisons of single photos.",
        "det_caption": (
            "Detection error trade-off: FNMR against FMR, both on normal deviate scales."
        ),
        "cosine": "cosine",
        "share": "share of comparisons",
        "identification": "Identification: several photos against templates",
        "identification_note": (
            "Thresholds were fitted on one half of the persons and tried on the other half, in a "
            "gallery of {size:,}."
        ),
        "stated_fpir": "FPIR stated",
        "fpir": "FPIR measured",
        "fnir": "FNIR measured",
        "too_few": "At least 70 persons with four usable photos each are needed; there are fewer.",
        "lr": "Likelihood ratios",
        "propositions": (
            "Hp: probe and template show the same person. Hd: they show different persons of "
            "this population."
        ),
        "cllr_note": (
            "In bits, on persons left out of the fit: 0 is perfect, 1 says nothing. The "
            "difference is what calibration loses."
        ),
        "reliability_caption": (
            "Reliability: the likelihood ratio that was stated against the one observed in each "
            "bin; on the line is right."
        ),
        "stated_lr": "stated log10 LR",
        "observed_lr": "observed log10 LR",
        "looks": "Labels to look at",
        "looks_note": (
            "A wrong label spoils every threshold. Persons under two names, siblings and photos "
            "of somebody else are marked in a CSV file (calibrate --marks)."
        ),
        "closest": "Most similar photos of two persons",
        "farthest": "Photos least like the others of their person, each beside a typical one",
        "groups": "Differences between groups",
        "groups_note": (
            "At one threshold for all (FMR 0.1 % over everyone); impostors are of the same group."
        ),
        "group": "Group",
        "differential": (
            "{kind}: the worst group ({worst}) has {ratio} times the rate of the best ({best})."
        ),
        "no_differential": "{kind}: no ratio can be stated, because a group shows no error.",
        "no_groups": (
            "No group labels were supplied (groups.csv with the columns person and group)."
        ),
        "small_groups": (
            "Groups were supplied, but no two of them have comparisons enough: 100 of different "
            "persons of the group."
        ),
        "limits": "What this says and what it does not",
        "limits_note": (
            "The rates hold for photos like these. They say nothing about other cameras, ages or "
            "groups, nor about images that a generative model made; rates for those need samples "
            "of models of known persons."
        ),
        "why-not-an-image": "not readable",
        "why-too-large": "too large",
        "why-no-face": "no face",
        "why-several-faces": "several faces",
        "why-no-such-face": "no such face",
        "why-unsure": "unsure",
        "why-too-small": "too small",
        "why-turned": "turned",
        "why-tilted": "looks up or down",
        "why-blurred": "blurred",
        "why-light": "too dark or bright",
        "why-covered": "covered",
        "why-someone-else": "someone else",
        "why-duplicate": "duplicate",
    },
    "zh-CN": {
        "title": "人脸模型准确度报告",
        "subtitle": "术语依据 ISO/IEC 19795-1。区间为 95% 置信区间，按人（而非按照片）重抽样得出。",
        "not_commercial": "该人脸模型的许可不允许商业使用。",
        "pack": "人脸模型",
        "licence": "许可",
        "source": "照片来源",
        "made_at": "生成时间（UTC）",
        "subjects": "有可用照片的人数",
        "photos": "照片数",
        "fta": "采集失败率（FTA）",
        "comparisons": "单张照片比对次数",
        "genuine": "同人",
        "impostor": "异人",
        "verification": "验证：单张照片对单张照片",
        "verification_note": "阈值取自同一组异人分数的分位数。",
        "eer": "等错误率",
        "stated_fmr": "目标 FMR",
        "threshold": "阈值（余弦）",
        "fmr": "FMR（错误匹配率）",
        "fnmr": "FNMR（错误不匹配率）",
        "score_caption": "单张照片同人与异人比对的余弦分数分布。",
        "det_caption": "检测误差权衡曲线：FNMR 对 FMR，两轴均为正态偏差刻度。",
        "cosine": "余弦",
        "share": "比对占比",
        "identification": "辨识：多张照片对模板",
        "identification_note": "阈值由一半人员拟合，在另一半人员上检验，库容量为 {size:,} 人。",
        "stated_fpir": "声明的 FPIR",
        "fpir": "实测 FPIR",
        "fnir": "实测 FNIR",
        "too_few": "至少需要 70 人、每人四张可用照片；目前不足。",
        "lr": "似然比",
        "propositions": "Hp：探测样本与模板为同一人。Hd：二者为该人群中的不同人。",
        "cllr_note": (
            "单位为比特，在未参与拟合的人员上测得：0 为理想，1 表示没有信息。两者之差即校准损失。"
        ),
        "reliability_caption": (
            "可靠性：各区间内声明的似然比与实际观测的似然比；落在对角线上即为准确。"
        ),
        "stated_lr": "声明的 log10 LR",
        "observed_lr": "观测的 log10 LR",
        "looks": "需要核对的标签",
        "looks_note": (
            "标签错误会使所有阈值失真。同一人使用两个姓名、兄弟姐妹以及他人的照片，"
            "请在 CSV 文件中标记（calibrate --marks）。"
        ),
        "closest": "两个不同的人之间最相似的照片",
        "farthest": "与本人其他照片最不相似的照片，旁边为一张典型照片",
        "groups": "群体差异",
        "groups_note": "所有人使用同一阈值（整体 FMR 为 0.1%）；异人比对限于同一群体之内。",
        "group": "群体",
        "differential": "{kind}：最差群体（{worst}）是最好群体（{best}）的 {ratio} 倍。",
        "no_differential": "{kind}：有群体未出现错误，因此无法给出比值。",
        "no_groups": "未提供群体标签（groups.csv，列名为 person 与 group）。",
        "small_groups": (
            "已提供群体标签，但没有两个群体各有足够的比对（每个群体至少 100 次异源比对）。"
        ),
        "limits": "本报告的适用范围",
        "limits_note": (
            "上述错误率仅适用于与此类似的照片，不代表其他相机、年龄或群体，"
            "也不代表生成模型所生成的图像；后者须以已知人物的模型样本另行测定。"
        ),
        "why-not-an-image": "无法读取",
        "why-too-large": "文件过大",
        "why-no-face": "无人脸",
        "why-several-faces": "多张人脸",
        "why-no-such-face": "指定的人脸不存在",
        "why-unsure": "不能确定为人脸",
        "why-too-small": "人脸太小",
        "why-turned": "侧脸",
        "why-tilted": "俯仰过大",
        "why-blurred": "模糊",
        "why-light": "过暗或过亮",
        "why-covered": "遮挡",
        "why-someone-else": "非同一人",
        "why-duplicate": "重复照片",
    },
}
