"""The totals of a scan's run."""

from __future__ import annotations

from dataclasses import dataclass, replace

from scanner.sampling.images import DrawingCost


@dataclass(frozen=True, slots=True)
class ScanTotals:
    """What one run of a scan has done.

    Attributes:
        files: number of items that got their verdict.
        drawn_files: number of checkpoints that were sampled.
        images: samples and controls.
        denoiser_calls: forward passes of the denoiser, counted for each image.
        seconds: from the beginning of the run.
    """

    files: int = 0
    drawn_files: int = 0
    images: int = 0
    denoiser_calls: int = 0
    seconds: float = 0.0

    def with_drawing(self, cost: DrawingCost | None) -> ScanTotals:
        """Return the totals with one checkpoint more; None if it was not sampled."""
        if cost is None:
            return self
        return replace(
            self,
            drawn_files=self.drawn_files + 1,
            images=self.images + cost.images,
            denoiser_calls=self.denoiser_calls + cost.denoiser_calls,
        )

    def plus(self, other: ScanTotals) -> ScanTotals:
        """Return the sum of two runs."""
        return ScanTotals(
            self.files + other.files,
            self.drawn_files + other.drawn_files,
            self.images + other.images,
            self.denoiser_calls + other.denoiser_calls,
            self.seconds + other.seconds,
        )
