"""Reads and writes YAML of plain values, from strangers and of 200,000 lines, as datasets' descriptions may be.

libyaml is used where PyYAML has it: its own loader takes minutes. Since libyaml's overflows the stack on deep nesting,
and merge keys expand aliases to exponentially many entries, both are refused first.
"""

import yaml

_DEEPEST = 16
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def load(text: str) -> object:
    """Plain values. Raises yaml.YAMLError, and what odd tags make PyYAML raise: ValueError, KeyError and others."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not used here")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise yaml.YAMLError("nested too deeply")
    return yaml.load(text, Loader=_Loader)


def dump(content: object, default_flow_style: bool | None = False) -> str:
    """`content` in the order of its keys, one line for each text."""
    return yaml.dump(
        content,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=1 << 20,
        default_flow_style=default_flow_style,
    )
