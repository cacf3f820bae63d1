"""What went wrong while loading a model, in words that say what to change."""

from __future__ import annotations

from collections.abc import Iterator

from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from distill.errors import ModelLoadError

_UNREACHABLE = ("couldn't connect", "offline mode", "outgoing traffic has been disabled", "cannot find the requested")


def as_model_load_error(base: str, error: Exception) -> ModelLoadError:
    """The fault behind an exception of transformers, huggingface_hub, safetensors or peft."""
    chain, said = list(_chain(error)), str(error).lower()

    def has(*kinds: type[BaseException]) -> bool:
        return any(isinstance(link, kinds) for link in chain)

    if has(GatedRepoError):
        return ModelLoadError(
            f"{base} is gated: its owner lets in only accounts that accepted its terms.",
            "Accept them on its page and set HF_TOKEN, or choose another base model.",
        )
    if has(RepositoryNotFoundError):
        return ModelLoadError(
            f"The Hugging Face hub has no model named {base}.", "Check the spelling, or set HF_TOKEN."
        )
    if has(LocalEntryNotFoundError, OfflineModeIsEnabled) or any(words in said for words in _UNREACHABLE):
        return ModelLoadError(
            f"{base} is not on this machine and the Hugging Face hub cannot be reached.",
            "Check the connection, download the model first, or name a folder or 'bundled'.",
        )
    if has(HfHubHTTPError):
        return ModelLoadError(f"The Hugging Face hub refused {base}: {_short(error)}", "Try again later.")
    if "trust_remote_code" in said or "custom code" in said:
        return ModelLoadError(
            f"{base} needs code of its own, which is never run here.", "Choose a model that transformers supports."
        )
    if "safetensors" in said and "no file named" in said:
        return ModelLoadError(f"{base} has no safetensors weights.", "Choose a model that is stored as safetensors.")
    if "size mismatch" in said:
        return ModelLoadError(
            f"The checkpoint does not fit {base}: {_short(error)}", "Use the base model that it was trained from."
        )
    return ModelLoadError(f"{base} could not be loaded: {_short(error)}", "Check that its files are complete.")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _short(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{lines[0][:200] if lines else type(error).__name__}."
