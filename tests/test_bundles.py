"""Evidence bundles: verifiable by anybody, sound until a bit changes, the same each time."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509 import load_pem_x509_certificates

from reports.cases.case import Case, case_to_dict
from reports.cases.case_schema import published_schema, schema_text
from reports.cases.case_store import CaseStore
from reports.errors import BundleExists, EvidenceAltered, UnreadableBundle
from reports.evidence.bundle import BundleRequest, write_bundle
from reports.evidence.timestamping import Authority, pending, write_timestamps
from reports.verify.bundle import verify as verify_modules
from reports.verify.case_schema import SCHEMAS
from reports.verify.checks import Item, Unsound
from tests.cases import make_case, reviewed
from tests.servers.timestamps import TimestampAuthority, serve_timestamps
from tests.verifiers import parse_token, run_both, stamped_text, verify, warc_records

# Authorities stamp with the real time, and a seal must not lie far from it.
NOW = datetime.now(UTC)


def signer(seed: int = 1) -> Callable[[bytes], tuple[bytes, bytes]]:
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(bytes([seed])).digest())
    return lambda message: (key.sign(message), key.public_key().public_bytes_raw())


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[TimestampAuthority]]:
    folder = tmp_path_factory.mktemp("tsa")
    with (
        serve_timestamps(folder / "ec", "ec") as one,
        serve_timestamps(folder / "rsa", "rsa") as other,
    ):
        yield [one, other]


def asked(servers: list[TimestampAuthority]) -> list[Authority]:
    return [Authority(one.name, one.url, one.root) for one in servers]


@pytest.fixture(scope="module")
def case_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CaseStore]:
    folder = tmp_path_factory.mktemp("docket")
    opened = CaseStore(folder / "cases.db", folder / "evidence")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def case(case_store: CaseStore) -> Case:
    return reviewed(case_store, make_case(case_store))


@pytest.fixture(scope="module")
def sealed(
    case_store: CaseStore,
    case: Case,
    authorities: list[TimestampAuthority],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A whole bundle; tests that damage it take a copy."""
    folder = tmp_path_factory.mktemp("bundles") / "evidence"
    return write_bundle(
        case, case_store, folder, BundleRequest(), signer(), asked(authorities), NOW
    )


@pytest.fixture
def copy(sealed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sealed, tmp_path / "copy"))


def listed_again(folder: Path) -> None:
    """The manifests made anew by bagit, which would list the seal as well if it saw it."""
    import bagit

    aside = folder.with_name("aside")
    (folder / "seal").rename(aside)
    bagit.Bag(str(folder)).save(processes=1, manifests=True)
    aside.rename(folder / "seal")


def problems(items: list[Item]) -> list[str]:
    return [item.item for item in items if not item.ok]


def test_a_file_that_grew_is_the_only_one_that_is_blamed(copy: Path) -> None:
    grown = next((copy / "data/samples").iterdir())
    grown.write_bytes(grown.read_bytes() + bytes(500))
    assert problems(verify(copy)) == [f"data/samples/{grown.name}"]


class TestSound:
    def test_everything_holds_here_and_with_the_single_file(
        self, sealed: Path, authorities: list[TimestampAuthority]
    ) -> None:
        assert problems(verify(sealed)) == []
        roots = [word for one in authorities for word in ("--tsa-root", str(one.root))]
        told = run_both(
            sealed, "--json", "--signer", hashlib.sha256(signer()(b"")[1]).hexdigest(), *roots
        )
        document = json.loads(told.stdout)
        assert (told.returncode, document["ok"]) == (0, True)
        notes = {item["item"] for item in document["items"] if item["note"]}
        assert notes == {
            "seal, bag and time belong together",
            "timestamps",
            "timestamp ec",
            "timestamp rsa",
        }
        assert {"timestamp ec", "timestamp rsa"} <= {item["item"] for item in document["items"]}

    def test_tools_of_others_agree(
        self, sealed: Path, case: Case, authorities: list[TimestampAuthority]
    ) -> None:
        import bagit
        import jsonschema
        from warcio.archiveiterator import ArchiveIterator

        bagit.Bag(str(sealed)).validate()
        schema = json.loads((sealed / "data/case-1.schema.json").read_bytes())
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.Draft202012Validator(schema).validate(
            json.loads((sealed / "data/case.json").read_bytes())
        )
        records = [
            (record.rec_headers["WARC-Target-URI"], record.content_stream().read())
            for record in ArchiveIterator(
                BytesIO((sealed / "data/listing.warc").read_bytes()), check_digests="raise"
            )
        ]
        assert [(url, hashlib.sha256(body).hexdigest()) for url, body in records] == [
            (one.url, one.sha256) for one in case.checkpoint.captures
        ]
        for one in authorities:
            stamped = [
                "-data",
                sealed / "seal/stamped.json",
                "-in",
                sealed / f"seal/{one.name}.tsr",
                "-CAfile",
                one.root,
            ]
            told = subprocess.run(
                ["openssl", "ts", "-verify", *stamped], capture_output=True, text=True, check=False
            )
            assert "Verification: OK" in told.stdout + told.stderr

    def test_the_graph_conforms_to_case_uco(self, sealed: Path, tmp_path: Path) -> None:
        report = tmp_path / "report.ttl"
        command = Path(sys.executable).parent / "case_validate"
        told = subprocess.run(
            [command, "--output", report, sealed / "data/case.jsonld"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.returncode == 0, told.stderr + (
            report.read_text()[:2000] if report.exists() else ""
        )

    def test_the_published_schema_is_that_of_the_record(self) -> None:
        assert published_schema() == schema_text()

    def test_the_payload_is_the_same_each_time(
        self, sealed: Path, case_store: CaseStore, case: Case, tmp_path: Path
    ) -> None:
        again = write_bundle(
            case,
            case_store,
            tmp_path / "again",
            BundleRequest(),
            signer(2),
            [],
            NOW + timedelta(days=3),
        )
        first = {
            path.relative_to(sealed / "data"): path.read_bytes()
            for path in (sealed / "data").rglob("*")
            if path.is_file()
        }
        second = {
            path.relative_to(again / "data"): path.read_bytes()
            for path in (again / "data").rglob("*")
            if path.is_file()
        }
        # Reports name the signing key: another key is a different signature part.
        apart = {name for name in first if not name.name.startswith("report.")}
        assert {name: first[name] for name in apart} == {name: second[name] for name in apart}
        same_key = write_bundle(
            case,
            case_store,
            tmp_path / "third",
            BundleRequest(),
            signer(),
            [],
            NOW + timedelta(days=3),
        )
        assert all((same_key / "data" / name).read_bytes() == data for name, data in first.items())

    def test_weights_go_in_only_when_asked(
        self, sealed: Path, case_store: CaseStore, case: Case, tmp_path: Path
    ) -> None:
        weights = tmp_path / "weights.safetensors"
        weights.write_bytes(b"weights")
        with pytest.raises(EvidenceAltered):
            write_bundle(
                case,
                case_store,
                tmp_path / "b",
                BundleRequest(("en",), weights, pdf=False),
                signer(),
                [],
                NOW,
            )
        case = replace(
            case, checkpoint=replace(case.checkpoint, sha256=hashlib.sha256(b"weights").hexdigest())
        )
        folder = write_bundle(
            case,
            case_store,
            tmp_path / "b",
            BundleRequest(("en",), weights, pdf=False),
            signer(),
            [],
            NOW,
        )
        assert (
            folder / f"data/checkpoint/{case.checkpoint.sha256}.safetensors"
        ).read_bytes() == b"weights"
        assert list(sealed.rglob("*.safetensors")) == []


class TestDamaged:
    def test_any_bit_of_any_file(self, copy: Path) -> None:
        random_bits = random.Random(7)
        files = sorted(path for path in copy.rglob("*") if path.is_file())
        sizes = [path.stat().st_size for path in files]
        positions = [
            (path, random_bits.randrange(size * 8)) for path, size in zip(files, sizes, strict=True)
        ]
        positions += [
            (path, random_bits.randrange(path.stat().st_size * 8))
            for path in random_bits.choices(files, k=1000 - len(positions))
        ]
        missed = []
        for path, bit in positions:
            data = path.read_bytes()
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            path.write_bytes(changed)
            name = path.relative_to(copy).as_posix()
            found = problems(verify(copy))
            if not any(name == item or name in item for item in found):
                missed.append((name, bit, found))
            path.write_bytes(data)
        assert missed == []
        assert problems(verify(copy)) == []

    def test_files_removed_added_renamed(self, copy: Path, sealed: Path) -> None:
        for path in sorted(path for path in sealed.rglob("*") if path.is_file()):
            name = path.relative_to(sealed).as_posix()
            (copy / name).unlink()
            assert (
                any(name in item for item in problems(verify(copy)))
                or name == "seal/timestamps.json"
            ), name
            assert problems(verify(copy)), name
            shutil.copyfile(path, copy / name)
        (copy / "data" / "new.txt").write_text("more")
        assert problems(verify(copy)) == ["data/new.txt"]
        (copy / "data" / "new.txt").unlink()
        (copy / "data" / "header.json").rename(copy / "data" / "headers.json")
        assert problems(verify(copy)) == ["data/header.json"]

    def test_a_link_out_of_the_bundle(self, copy: Path, tmp_path: Path) -> None:
        target = tmp_path / "elsewhere.json"
        shutil.move(copy / "data/custody.json", target)
        (copy / "data/custody.json").symlink_to(target)
        assert "data/custody.json" in problems(verify(copy))

    def test_timestamps_of_another_bundle(
        self,
        copy: Path,
        case_store: CaseStore,
        case: Case,
        authorities: list[TimestampAuthority],
        tmp_path: Path,
    ) -> None:
        other = write_bundle(
            case,
            case_store,
            tmp_path / "other",
            BundleRequest(("en",), pdf=False),
            signer(),
            asked(authorities),
            NOW + timedelta(days=1),
        )
        for name in ("ec.tsr", "ec.tsq"):
            shutil.copyfile(other / "seal" / name, copy / "seal" / name)
        assert {"seal/ec.tsr", "seal/ec.tsq"} == set(problems(verify(copy)))
        for path in (copy / "seal").glob("rsa.*"):
            path.unlink()
        # The same key signed the list of timestamps anew; the token is still of another signature.
        record = json.loads((copy / "seal/timestamps.json").read_bytes())
        record["timestamps"] = json.loads((other / "seal/timestamps.json").read_bytes())[
            "timestamps"
        ][:1]
        text = json.dumps(record).encode()
        (copy / "seal/timestamps.json").write_bytes(text)
        (copy / "seal/timestamps.sig").write_bytes(signer()(text)[0])
        assert any(
            "something else" in str(item.problem)
            for item in verify(copy)
            if item.item == "timestamp ec"
        )

    def test_manifests_signed_again_with_another_key(self, copy: Path) -> None:
        (copy / "data/custody.json").write_text("[]\n")
        listed_again(copy)
        statement = json.loads((copy / "seal/statement.json").read_bytes())
        for name in ("tagmanifest-sha256.txt", "tagmanifest-sha512.txt"):
            statement["files"][name] = hashlib.sha256((copy / name).read_bytes()).hexdigest()
        forged = signer(9)
        statement["key_sha256"] = hashlib.sha256(forged(b"")[1]).hexdigest()
        text = json.dumps(statement).encode()
        (copy / "seal/statement.json").write_bytes(text)
        (copy / "seal/statement.sig").write_bytes(forged(text)[0])
        (copy / "seal/key.pub").write_bytes(forged(b"")[1])
        times = (copy / "seal/timestamps.json").read_bytes()
        (copy / "seal/timestamps.sig").write_bytes(forged(times)[0])
        found = problems(verify(copy))
        assert {"seal/stamped.json", "seal/timestamps.json"} == set(found)

    def test_manifests_signed_again_thoroughly_with_another_key(self, copy: Path) -> None:
        forged = signer(9)
        known, other = (hashlib.sha256(sign(b"")[1]).hexdigest() for sign in (signer(), forged))

        def take_over(folder: Path) -> None:
            info = folder / "bag-info.txt"
            info.write_text(info.read_text().replace(known, other))
            statement = json.loads((folder / "seal/statement.json").read_bytes())
            (folder / "seal/statement.json").write_text(
                json.dumps({**statement, "key_sha256": other})
            )
            (folder / "seal/key.pub").write_bytes(forged(b"")[1])

        folder = TestAttacks().resigned(copy, forged, take_over)
        assert problems(verify(folder)) == ["timestamp ec", "timestamp rsa"]
        for path in [*(folder / "seal").glob("ec.*"), *(folder / "seal").glob("rsa.*")]:
            path.unlink()
        times = {**json.loads((folder / "seal/timestamps.json").read_bytes()), "timestamps": []}
        (folder / "seal/timestamps.json").write_text(json.dumps(times))
        (folder / "seal/timestamps.sig").write_bytes(
            forged((folder / "seal/timestamps.json").read_bytes())[0]
        )
        assert problems(verify(folder)) == ["report, case and seal belong together"]

    def test_a_whole_bundle_made_anew_by_a_stranger_needs_the_published_key(
        self, case_store: CaseStore, case: Case, tmp_path: Path
    ) -> None:
        forged = write_bundle(
            case,
            case_store,
            tmp_path / "forged",
            BundleRequest(("en",), pdf=False),
            signer(9),
            [],
            NOW,
        )
        known = hashlib.sha256(signer()(b"")[1]).hexdigest()
        assert problems(verify(forged)) == []
        assert any("compare it" in str(item.note) for item in verify(forged))
        assert problems(verify(forged, signer=known)) == ["seal/key.pub"]

    def test_a_case_that_does_not_fit_its_schema(
        self, case_store: CaseStore, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fields = {**case_to_dict(case), "score": "high", "extra": 1}
        monkeypatch.setattr("reports.evidence.bundle.case_to_dict", lambda _: fields)
        with pytest.raises(UnreadableBundle, match="case matches its schema"):
            write_bundle(
                case,
                case_store,
                tmp_path / "odd",
                BundleRequest(("en",), pdf=False),
                signer(),
                [],
                NOW,
            )
        assert not list(tmp_path.iterdir())

    def test_what_is_no_bundle(self, tmp_path: Path) -> None:
        assert not verify(tmp_path)[0].ok
        with pytest.raises(UnreadableBundle, match="no sealed evidence bundle"):
            write_timestamps(tmp_path, [], signer(), NOW)


class TestAttacks:
    """What a hostile expert tried; each was sound, hung or crashed the verifier once."""

    def test_timestamps_cannot_be_taken_off(
        self,
        copy: Path,
        case_store: CaseStore,
        case: Case,
        authorities: list[TimestampAuthority],
        tmp_path: Path,
    ) -> None:
        bare = write_bundle(
            case,
            case_store,
            tmp_path / "bare",
            BundleRequest(("en",), pdf=False),
            signer(),
            [],
            NOW + timedelta(days=2),
        )
        for path in [*(copy / "seal").glob("ec.*"), *(copy / "seal").glob("rsa.*")]:
            path.unlink()
        for name in ("timestamps.json", "timestamps.sig"):
            shutil.copyfile(bare / "seal" / name, copy / "seal" / name)
        assert "seal/timestamps.json" in problems(verify(copy))
        roots = tuple(load_pem_x509_certificates(authorities[0].root.read_bytes()))
        assert problems(verify(bare, roots=roots)) == ["timestamps"]

    @pytest.mark.parametrize(
        "name", ["seal/key.pub", "seal", "data/samples", "data/case.json", "tagmanifest-sha256.txt"]
    )
    def test_links(self, copy: Path, tmp_path: Path, name: str) -> None:
        shutil.move(copy / name, tmp_path / "moved")
        (copy / name).symlink_to(tmp_path / "moved")
        assert problems(verify(copy)) == [name]

    @pytest.mark.parametrize(
        "name", ["data/case.json", "seal/timestamps.json", "manifest-sha256.txt", "bag-info.txt"]
    )
    def test_pipes_and_devices_are_not_read(self, copy: Path, name: str) -> None:
        (copy / name).unlink()
        os.mkfifo(copy / name)
        assert problems(verify(copy)) == [name]

    def test_empty_folders(self, copy: Path) -> None:
        (copy / "data" / "FORGED BY LI NA").mkdir()
        assert problems(verify(copy)) == ["data/FORGED BY LI NA"]

    @pytest.mark.parametrize(
        "text", ["[" * 200_000, '{"timestamps":[1],"pending":[]}', "{}", "null", "\udcff"]
    )
    def test_texts_that_break_parsers(self, copy: Path, text: str) -> None:
        for name in ("seal/timestamps.json", "seal/statement.json", "data/case.json"):
            data = (copy / name).read_bytes()
            (copy / name).write_bytes(text.encode("utf-8", "surrogateescape"))
            assert name in problems(verify(copy))
            (copy / name).write_bytes(data)

    def test_a_sparse_giant_is_not_hashed(self, copy: Path) -> None:
        with (copy / "data/header.json").open("r+b") as stream:
            stream.truncate(1 << 43)
        assert "data/header.json" in problems(verify(copy))

    def test_names_cannot_forge_the_screen(self, copy: Path) -> None:
        (copy / "data" / "x\x1b[2J\nEverything holds\x1b[8m").write_text("x")
        (copy / os.fsdecode(b"data/\xff")).write_text("x")
        found = verify(copy)
        assert len(problems(found)) == 2
        assert all(item.item.isprintable() for item in found)
        told = run_both(copy)
        assert (told.returncode, "\x1b" in told.stdout) == (1, False)

    def test_folders_in_folders(self, copy: Path) -> None:
        (copy / "data" / "/".join("a" * 200)).mkdir(parents=True)
        (copy / "data" / "/".join("a" * 200) / "x").write_text("x")
        assert len(problems(verify(copy))) == 1

    @pytest.mark.parametrize("length", ["-120", "10", "99999999999"])
    def test_an_archive_of_odd_lengths(self, length: str) -> None:
        head = (
            "WARC/1.1\r\nWARC-Type: resource\r\nWARC-Target-URI: x\r\nWARC-Date: y\r\n"
            f"Content-Length: {length}\r\n\r\n"
        )
        with pytest.raises(Unsound, match="damaged"):
            warc_records(head.encode() + b"{}\r\n\r\n")

    @pytest.mark.parametrize(
        "key",
        ["ee" + "ff" * 30 + "7f", "ed" + "ff" * 30 + "7f", "ee" + "ff" * 31, "ed" + "ff" * 31],
    )
    def test_keys_written_in_forbidden_ways(self, copy: Path, key: str) -> None:
        (copy / "seal/key.pub").write_bytes(bytes.fromhex(key))
        assert any("fits any text" in str(item.problem) for item in verify(copy))

    @pytest.mark.parametrize("wanted", ["", "abc", "z" * 64])
    def test_a_fingerprint_that_is_none_is_not_ignored(self, sealed: Path, wanted: str) -> None:
        with pytest.raises(ValueError, match="64 hex digits"):
            verify(sealed, signer=wanted)

    def resigned(
        self,
        copy: Path,
        sign: Callable[[bytes], tuple[bytes, bytes]],
        change: Callable[[Path], None],
    ) -> Path:
        """What the signer can do: new tag manifests and a new seal, with the old timestamps."""
        change(copy)
        listed_again(copy)
        statement = json.loads((copy / "seal/statement.json").read_bytes())
        for name in ("tagmanifest-sha256.txt", "tagmanifest-sha512.txt"):
            statement["files"][name] = hashlib.sha256((copy / name).read_bytes()).hexdigest()
        text = json.dumps(statement).encode()
        (copy / "seal/statement.json").write_bytes(text)
        (copy / "seal/statement.sig").write_bytes(sign(text)[0])
        (copy / "seal/stamped.json").write_bytes(stamped_text(text, sign(text)[0]))
        times = json.loads((copy / "seal/timestamps.json").read_bytes())
        times["signature_sha256"] = hashlib.sha256(sign(text)[0]).hexdigest()
        (copy / "seal/timestamps.json").write_text(json.dumps(times))
        (copy / "seal/timestamps.sig").write_bytes(
            sign((copy / "seal/timestamps.json").read_bytes())[0]
        )
        return copy

    def without_timestamps(self, folder: Path) -> Path:
        """The bundle as its signer gives it out who asked no authority."""
        for path in [*(folder / "seal").glob("ec.*"), *(folder / "seal").glob("rsa.*")]:
            path.unlink()
        times = {**json.loads((folder / "seal/timestamps.json").read_bytes()), "timestamps": []}
        (folder / "seal/timestamps.json").write_text(json.dumps(times))
        (folder / "seal/timestamps.sig").write_bytes(
            signer()((folder / "seal/timestamps.json").read_bytes())[0]
        )
        return folder

    def test_the_signer_cannot_keep_the_time_of_other_content(self, copy: Path) -> None:
        folder = self.resigned(
            copy, signer(), lambda folder: (folder / "data/late.txt").write_text("late") and None
        )  # type: ignore[func-returns-value]
        assert problems(verify(folder)) == ["timestamp ec", "timestamp rsa"]

    def test_files_listed_as_timestamps(self, copy: Path) -> None:
        (copy / "data/late.txt").write_text("late")
        times = json.loads((copy / "seal/timestamps.json").read_bytes())
        times["timestamps"][0]["files"]["data/late.txt"] = hashlib.sha256(b"late").hexdigest()
        (copy / "seal/timestamps.json").write_text(json.dumps(times))
        (copy / "seal/timestamps.sig").write_bytes(
            signer()((copy / "seal/timestamps.json").read_bytes())[0]
        )
        assert "data/late.txt" in problems(verify(copy))

    def test_a_key_that_fits_everything(self, copy: Path) -> None:
        (copy / "seal/key.pub").write_bytes(b"\x01" + bytes(31))
        (copy / "seal/statement.sig").write_bytes(b"\x01" + bytes(63))
        assert {"seal/statement.json", "seal/key.pub"} <= set(problems(verify(copy)))

    @pytest.mark.parametrize(
        ("change", "item"),
        [
            ({"score": float("nan")}, "case matches its schema"),
            ({"outcome": "guilty"}, "case matches its schema"),
            ({"samples": []}, "the case's pictures, header and weights"),
            ({"identity_id": 7}, "case matches its schema"),
            ({"custody": []}, "custody, environment and counts are the case's"),
        ],
    )
    def test_a_signer_who_lies_about_the_case(
        self, copy: Path, change: dict[str, object], item: str
    ) -> None:
        def lie(folder: Path) -> None:
            case = {**json.loads((folder / "data/case.json").read_bytes()), **change}
            (folder / "data/case.json").write_text(json.dumps(case))

        folder = self.without_timestamps(self.resigned(copy, signer(), lie))
        assert item in problems(verify(folder))

    def test_a_signer_who_leaves_the_details_of_the_audit_log_out(self, copy: Path) -> None:
        def shorten(folder: Path) -> None:
            case = json.loads((folder / "data/case.json").read_bytes())
            for line in case["custody"]:
                line.pop("details")
            (folder / "data/case.json").write_text(json.dumps(case))
            (folder / "data/custody.json").write_text(json.dumps(case["custody"]))

        folder = self.without_timestamps(self.resigned(copy, signer(), shorten))
        assert problems(verify(folder)) == ["case matches its schema", "data/case.json"]

    def test_a_stage_that_breaks_is_a_problem(
        self, sealed: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def breaks(_bundle: Path, _signer: str | None) -> list[Item]:
            raise RecursionError("too deep")

        monkeypatch.setattr("reports.verify.bundle.seal_items", breaks)
        assert problems(verify_modules(sealed)) == ["bundle"]

    def test_a_schema_of_their_own(self, copy: Path) -> None:
        folder = self.resigned(
            copy,
            signer(),
            lambda folder: (folder / "data/case-1.schema.json").write_text("{}") and None,
        )  # type: ignore[func-returns-value]
        assert "timestamp ec" in problems(verify(folder))
        assert hashlib.sha256(schema_text().encode()).hexdigest() in SCHEMAS

    def test_an_archive_with_other_records(self) -> None:
        record = (
            b"WARC/1.1\r\nWARC-Type: response\r\nWARC-Target-URI: x\r\nWARC-Date: y\r\n"
            b"Content-Length: 0\r\n\r\n\r\n\r\n"
        )
        with pytest.raises(Unsound, match="response"):
            warc_records(record)


class TestTimestamps:
    def test_an_authority_of_another_root_is_not_trusted(
        self, sealed: Path, authorities: list[TimestampAuthority]
    ) -> None:
        ec_only = tuple(load_pem_x509_certificates(authorities[0].root.read_bytes()))
        assert problems(verify(sealed, roots=ec_only)) == ["timestamp rsa"]

    def test_offline_the_bundle_says_so_and_is_stamped_later(
        self,
        case_store: CaseStore,
        case: Case,
        authorities: list[TimestampAuthority],
        tmp_path: Path,
    ) -> None:
        away = Authority("away", "http://127.0.0.1:9/")
        one, other = authorities
        one.failures = [503]
        folder = write_bundle(
            case,
            case_store,
            tmp_path / "b",
            BundleRequest(("en",), pdf=False),
            signer(),
            [*asked([one]), away],
            NOW,
        )
        items = {item.item: item for item in verify(folder)}
        assert items["timestamps"].ok
        assert "not timestamped" in str(items["timestamps"].note)
        assert pending(folder) == ["ec", "away"]
        failed = write_timestamps(folder, [*asked([one, other]), away], signer(), NOW)
        assert [error.name for error in failed] == ["away"]
        assert pending(folder) == ["away"]
        assert problems(verify(folder)) == []
        before = (one.asked, other.asked)
        write_timestamps(folder, asked([one, other]), signer(), NOW)
        assert (one.asked, other.asked) == before
        with pytest.raises(UnreadableBundle, match="another installation"):
            write_timestamps(folder, asked([one]), signer(5), NOW)

    def test_an_answer_that_does_not_hold_is_not_kept(
        self,
        case_store: CaseStore,
        case: Case,
        authorities: list[TimestampAuthority],
        tmp_path: Path,
        sealed: Path,
    ) -> None:
        one = authorities[0]
        for wrong in (b"nonsense", (sealed / "seal/ec.tsr").read_bytes()):
            one.wrong = wrong
            name = f"b{len(wrong)}"
            folder = write_bundle(
                case,
                case_store,
                tmp_path / name,
                BundleRequest(("en",), pdf=False),
                signer(),
                asked([one]),
                NOW,
            )
            assert (pending(folder), list(folder.rglob("*.tsr"))) == (["ec"], [])
        one.wrong = None

    def test_time_and_serial_are_those_openssl_shows(self, sealed: Path) -> None:
        told = subprocess.run(
            ["openssl", "ts", "-reply", "-in", sealed / "seal/ec.tsr", "-text"],
            capture_output=True,
            text=True,
            check=True,
        )
        token = parse_token((sealed / "seal/ec.tsr").read_bytes())
        assert f"Serial number: 0x{token.serial:02X}" in told.stdout
        assert token.time.strftime("%H:%M:%S") in told.stdout


class TestWriting:
    def test_nothing_is_overwritten_and_nothing_half_made_is_left(
        self, sealed: Path, case_store: CaseStore, case: Case, tmp_path: Path
    ) -> None:
        with pytest.raises(BundleExists):
            write_bundle(case, case_store, sealed, BundleRequest(), signer(), [], NOW)
        bare = CaseStore(tmp_path / "cases.db", tmp_path / "evidence")
        with pytest.raises(EvidenceAltered):
            write_bundle(
                case, bare, tmp_path / "b", BundleRequest(("en",), pdf=False), signer(), [], NOW
            )
        bare.close()
        assert not list(tmp_path.glob("b*"))
