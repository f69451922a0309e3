"""From noise to samples, shared by training and generation: noise, sources, sampling steps, loading generators."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "conditions": ["Conditioning"],
        "draws": ["Draw", "interpolation", "plain", "variations"],
        "generation": ["generate"],
        "labels": ["parse_labels"],
        "loading": ["LoadedGenerator", "export_generator", "load_generator"],
        "noise": ["source_noise"],
        "sampler": ["noise_levels", "sample"],
        "sources": ["NoiseMix", "Sources"],
        "space": ["Space", "measure_space"],
    },
)
