"""Kinds of data and conditions by name, and the options of all kinds. Nothing here imports torch.

A kind is built as `definition(options, choices)`, from its own options and the parts that these choose in turn: see
`kinds.base.Kind`. A condition is called as `definition(options, alpha_B, labels)` and gives a tensor [B] or [B, K];
generation from noise knows the labels that its user gives, so `labels` may lack names.
"""

from kinds.audio.options import AudioOptions
from registry import Options, Registry, opt

KINDS = Registry("kind of data")
CONDITIONS = Registry("condition", joinable=True)


class DataOptions(Options):
    """data"""

    kind: str = KINDS.choice("audio", "what the data are", shapes_run=True)
    dataset_folder: str = opt("dataset_pairs_wav", "folder with train/, val/ and dataset.yaml", per_machine=True)
    train_dir: str | None = opt(None, "training pairs; default: train in dataset_folder", per_machine=True)
    val_dir: str | None = opt(None, "validation pairs; default: val in dataset_folder", per_machine=True)
    shuffle_targets: bool = opt(False, "pair each input with another pair's target, anew each epoch")
    unity_test: bool = opt(False, "the target is the input itself: a test of copying, and what several steps need")
    num_workers: int = opt(0, "processes that read data per rank; 0 = the rank itself", ge=0, le=64, per_machine=True)
    conditions: str | None = CONDITIONS.choice(
        None, "what networks that take conditions are told of a sample, joined by +", shapes_run=True
    )

    def remarks(self, config) -> list[str]:
        if self.shuffle_targets and self.unity_test:
            return ["note: shuffle_targets has no effect with unity_test: the target is the input itself"]
        return []


KINDS.add("audio", "kinds.audio.kind:AudioKind", AudioOptions)
CONDITIONS.add("alpha", "synthesis.conditions:noise_level")
