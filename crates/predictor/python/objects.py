# What both workers for Turbo Vision share: results as plain JSON.


def plain(value, name):
    """The value as JSON has it, or an error that names the part that a chute could not send."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("%s is %s, which is no JSON" % (name, float(value)))
        return float(value)
    if isinstance(value, dict):
        return {str(key): plain(part, "%s.%s" % (name, key)) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part, "%s[%d]" % (name, at)) for at, part in enumerate(value)]
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(), name)
    kind = "%s.%s" % (type(value).__module__, type(value).__qualname__)
    raise TypeError("%s is a %s, which a chute cannot send: make it a plain int, float, str or list" % (name, kind))
