"""Kinds of data and conditions by name, and the options of all kinds. Nothing here imports torch.

A kind is built as `definition(options, choices)`, from its own options and the parts that these select: see
`kinds.base.Kind`. A condition is called as `definition(options, alpha_B, labels)` and gives a tensor [B], or [B, K]
with the fact `width=K`; generation from noise knows the labels that its user gives, so `labels` may lack names. One
with the fact `labelled` is called with the labels' vocabulary as well.

Facts of a kind: `axes` of a sample, channels included; and for kinds whose files are not audio, modules that the
programs use in place of their own for audio: `prepares` (prepare_dataset.py), `renders` (generate.py), `evaluates`
(evaluate.py).
"""

from kinds.audio.options import AudioOptions
from kinds.decoder.options import DecoderOptions, VocoderOptions
from kinds.images.options import ImagesOptions
from registry import Options, Registry, opt

KINDS = Registry("kind of data")
CONDITIONS = Registry("condition", joinable=True)


class DataOptions(Options):
    """data"""

    kind: str = KINDS.choice("audio", "kind of data", shapes_run=True)
    dataset_folder: str = opt("dataset_pairs_wav", "folder with train/, val/ and dataset.yaml", per_machine=True)
    train_dir: str | None = opt(None, "folder of training pairs; default: train/ in dataset_folder", per_machine=True)
    val_dir: str | None = opt(None, "folder of validation pairs; default: val/ in dataset_folder", per_machine=True)
    shuffle_targets: bool = opt(False, "pair each input with the target of another pair, newly drawn each epoch")
    unity_test: bool = opt(False, "the target is the input itself; needed for --passes over 1")
    num_workers: int = opt(0, "data loading processes per rank; 0 = none", ge=0, le=64, per_machine=True)
    conditions: str | None = CONDITIONS.choice(
        None, "conditions for networks that take them, joined by +; alpha: the noise level, labels", shapes_run=True
    )

    def check(self, config) -> None:
        kind, generator = config.chosen("kind"), config.chosen("generator").part
        axes, takes = kind.part.facts.get("axes"), generator.facts.get("axes")
        fits = axes is None or takes is None or axes in takes
        start = generator.facts.get("starts_from")
        if fits and start is not None and kind.options.observed is None:
            raise ValueError(
                f"--generator {generator.name} starts from {start}, which --kind {kind.name} does not make with these "
                "options"
            )
        if not fits or start != kind.options.observed or generator.facts.get("makes") != kind.options.makes:
            raise ValueError(f"--generator {generator.name} does not make what --kind {kind.name} needs")
        for part, _ in config.chosen("discriminator").members:
            of = part.facts.get("of")
            if of not in (None, kind.options.makes):
                raise ValueError(f"--discriminator {part.name} is for {of}, not for what --kind {kind.name} holds")
        if axes not in (None, 2) and (config.model.agent or config.chosen("mask_type").part.facts.get("hides")):
            raise ValueError(f"mask_type and the agents do not work with --kind {kind.name}: leave them out")

    def remarks(self, config) -> list[str]:
        remarks = super().remarks(config)
        if self.shuffle_targets and self.unity_test:
            remarks.append("note: shuffle_targets has no effect with unity_test: the target is the input itself")
        return remarks


class LabelOptions(Options):
    """labels"""

    label_dropout: float = opt(0.1, "share of the samples trained without their labels, for guidance", ge=0, lt=1)


_OWN_PROGRAMS = {
    "prepares": "kinds.images.preparing",
    "renders": "kinds.images.render",
    "evaluates": "kinds.images.evaluating",
}
KINDS.add("audio", "kinds.audio.kind:AudioKind", AudioOptions, axes=2)
KINDS.add("decoder", "kinds.decoder.kind:DecoderKind", DecoderOptions, axes=2)
KINDS.add("vocoding", "kinds.decoder.vocoder:VocoderKind", VocoderOptions, axes=2)
KINDS.add("images", "kinds.images.kind:ImagesKind", ImagesOptions, axes=3, **_OWN_PROGRAMS)
CONDITIONS.add("alpha", "synthesis.conditions:noise_level")
CONDITIONS.add("labels", "synthesis.conditions:encoded_labels", LabelOptions, labelled=True)
