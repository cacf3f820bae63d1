def storable(text: str) -> str:
    """Text that Postgres can keep: NUL bytes and lone surrogates become U+FFFD, the replacement character."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode() if _is_broken(text) else text


def _is_broken(text: str) -> bool:
    return "\x00" in text or any("\ud800" <= c <= "\udfff" for c in text)
