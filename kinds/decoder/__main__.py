"""Packs a trained decoder for use: half precision, with a digest by which alteration is noticed.

python -m kinds.decoder checkpoints pretrained/decoder
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

from errors import UserError, reports_user_errors
from synthesis.loading import DESCRIPTION, WEIGHTS, export_generator, load_generator, portable_options


def ship(run: Path, folder: Path) -> None:
    """Writes the EMA weights of a run's export or checkpoint, in half precision, and their description.

    Raises:
        UserError: there is no trained decoder at `run`, or `folder` cannot be written.
    """
    from runtime.files import write_text

    loaded = load_generator(run)
    if "decodes" not in loaded.space.about:
        raise UserError(f"{run} holds a generator of {loaded.space.kind}, not a decoder; train one with --kind decoder")
    weights = {name: value.half() for name, value in loaded.network.state_dict().items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        export_generator(folder, loaded.config, weights, loaded.space, loaded.trained_to)
        described = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        described["config"] = portable_options(loaded.config)
        described["weights_sha256"] = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
        write_text(folder / DESCRIPTION, json.dumps(described, indent=1) + "\n")
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror or error}); give another folder") from None


@reports_user_errors("python -m kinds.decoder")
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m kinds.decoder", description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run's folder, an export or a checkpoint")
    parser.add_argument("folder", type=Path, help="where to write, for example pretrained/decoder")
    args = parser.parse_args(argv)
    ship(args.run, args.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
