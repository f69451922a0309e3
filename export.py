"""Exports the networks of a checkpoint: the generator with EMA weights, and its discriminator on request.

    python export.py --checkpoint checkpoints --output_dir exported
    python export.py --checkpoint checkpoints/checkpoint_epoch_50.pt --output_dir exported --discriminator

Exit codes: 0 done; 2 wrong input, one sentence on stderr.
"""

import argparse
import sys
from pathlib import Path

from errors import UserError, reports_user_errors
from runtime.console import outlive_readers


@reports_user_errors("export.py")
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="export.py", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--checkpoint", required=True, metavar="PATH", help="a checkpoint (.pt), or a run's folder")
    add("--output_dir", required=True, type=Path, metavar="DIR", help="folder for the files; made if missing")
    add("--discriminator", action="store_true", help="write discriminator.safetensors, too: its weights as trained")
    given = parser.parse_args(argv)
    from synthesis.exporting import export_checkpoint

    try:
        written = export_checkpoint(given.checkpoint, given.output_dir, given.discriminator)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot write to {given.output_dir}: {reason}; choose another --output_dir") from None
    print("\n".join(map(str, written)))
    return 0


if __name__ == "__main__":
    outlive_readers()
    sys.exit(main())
