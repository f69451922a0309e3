"""From samples to picture files, grids and TensorBoard; losses on pictures.

Legend: B samples, C channels, H rows, W columns.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import Tensor

from data.pairs import Pairs
from kinds.images.options import ImagesOptions
from kinds.images.pairs import to_pictures
from losses.options import RegressionOptions
from losses.pictures import spectral_angle
from monitoring.image_files import encoded, tiled
from monitoring.log import RunLog
from runtime import files

SHOWN_SIDE = 64  # smaller pictures are enlarged in grids, so that pixels can be seen


class PictureDecoder:
    """See `kinds.base.Decoder`."""

    def __init__(self, options: ImagesOptions) -> None:
        self._options = options

    def losses(self, regression: RegressionOptions, measure: Callable) -> Callable:
        """The weighted spectral angle to the clean target."""
        weight = self._options.loss_weight_angle

        def measured(output: Tensor, input: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            angle_B = spectral_angle(*((0.5 * (x + 1)).clamp(min=0) for x in (output, target)))
            return weight * angle_B, {"loss/angle": angle_B}

        return measured

    def write(self, log: RunLog, name: str, samples_BCHW: Tensor, step: int, stem: Path) -> None:
        """One grid of all samples, `<stem>_0.png`."""
        write_grid(log, name, samples_BCHW.float().cpu().numpy(), step, stem)

    def write_references(self, log: RunLog, pairs: Pairs, count: int, home: Path) -> None:
        """A grid of the first held-out pictures; there is no loss from samples to pictures."""
        shown = np.stack([pairs.target(i) for i in range(min(count, len(pairs)))])
        write_grid(log, "real", shown, 0, home / "real")


def write_grid(log: RunLog, name: str, samples_BCHW: np.ndarray, step: int, stem: Path) -> None:
    """Raises OSError where the file cannot be written."""
    grid = grid_of(to_pictures(samples_BCHW))
    log.image(f"{name}/0", grid, step)
    stem.parent.mkdir(exist_ok=True)
    files.write_bytes(Path(f"{stem}_0.png"), encoded(grid))


def grid_of(pictures_BHWC: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Pictures in rows, uint8 [H', W', 3], with white gaps; small ones enlarged by a whole factor."""
    count, rows_of_one, columns_of_one, _ = pictures_BHWC.shape
    factor = max(1, SHOWN_SIDE // max(rows_of_one, columns_of_one)) if count <= 16 else 2
    factor = factor if max(rows_of_one, columns_of_one) < SHOWN_SIDE else 1
    return tiled(pictures_BHWC.repeat(factor, axis=1).repeat(factor, axis=2), columns)
