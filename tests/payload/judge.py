"""Says of each body on standard input (a line of base64) what Python finds: `syntax`, `invalid` or `valid` by the schema, whose path is the argument.

The first line is about the schema itself: whether it is one, and whether its own examples are valid.
"""

import base64
import json
import sys

from jsonschema import Draft202012Validator


def refuse(word):
    raise ValueError(word)


def judge(validator, body):
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=refuse)
    except ValueError:
        return "syntax"
    return "valid" if validator.is_valid(value) else "invalid"


def examples(schema, of):
    """Every example, below the schema that it is an example of."""
    if isinstance(of, dict):
        for example in of.get("examples", []):
            validator = Draft202012Validator({**of, "$defs": schema["$defs"]})
            yield validator.is_valid(example)
        for part in of.values():
            yield from examples(schema, part)


schema = json.load(open(sys.argv[1]))
Draft202012Validator.check_schema(schema)
found = list(examples(schema, schema))
print("valid" if len(found) > 10 and all(found) else "invalid")
validator = Draft202012Validator(schema)
for line in sys.stdin:
    print(judge(validator, base64.b64decode(line)))
