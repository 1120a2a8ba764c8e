import json

from .. import registry


def to_json(value):
    return json.dumps([value])


registry.exporters["json"] = to_json
