from ..registry import exporters


def to_csv(value):
    return f"{value};"


exporters["csv"] = to_csv
