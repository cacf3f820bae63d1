"""Loading a model with its tokenizer: from the Hugging Face hub, a folder, a .gguf file, or the bundled student.

Only safetensors and GGUF are read (neither can hold code), and code that comes with a model is never run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from distill import bundled
from distill.errors import ModelLoadError, OutOfMemory, SettingsError
from distill.load_errors import as_model_load_error

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError, SafetensorError)


@dataclass(frozen=True)
class LoadedModel:
    """`base` names what was asked for. The tokenizer always has a pad token (EOS where the model brings none)."""

    model: Any
    tokenizer: Any
    base: str


def load_model(
    base: str, adapter: Path | None = None, *, home: Path, dtype: str = "auto", for_training: bool = False
) -> LoadedModel:
    """Load `base` with a checkpoint on top.

    base: a hub id, a folder, a .gguf file, "bundled" (the student) or "bundled-teacher"; those two are kept under `home`.
    adapter: a PEFT LoRA folder, or a folder with a whole model (full fine-tuning), which then replaces the base.
    dtype: auto (bf16 on CUDA for inference, else fp32), fp32, bf16 or fp16.
    for_training: the adapter stays separate and trainable and the model stays on the CPU, for a trainer to place;
        otherwise the adapter is merged and the model moved to the GPU where there is one.
    """
    precision = _dtype(dtype, for_training)
    try:
        model, tokenizer = _load(base, adapter, home, precision, for_training)
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemory(f"There is not enough memory to load {base}.", "Choose a smaller base model.") from error
    except _UNREADABLE as error:
        raise as_model_load_error(base, error) from error
    return LoadedModel(model, with_pad_token(model, tokenizer), base)


def load_gguf(path: Path, dtype: torch.dtype = torch.float32) -> tuple[Any, Any]:
    """Model and tokenizer of a .gguf file, its weights turned into plain tensors that can be trained and saved."""
    options: dict[str, Any] = {"gguf_file": path.name, "trust_remote_code": False}
    tokenizer = AutoTokenizer.from_pretrained(str(path.parent), **options)
    model: Any = AutoModelForCausalLM.from_pretrained(str(path.parent), dtype=dtype, **options)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.is_quantized, model.hf_quantizer, model.quantization_method = False, None, None
    return model, tokenizer


def with_pad_token(model: Any, tokenizer: Any) -> Any:
    """Batches need some pad token; it is never attended to nor trained on, so EOS will do.

    Also replaces a pad token that was added to the tokenizer but has no row in the model's embeddings.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id >= rows:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
    return tokenizer


def is_lora(folder: Path) -> bool:
    return (folder / "adapter_config.json").is_file()


def _dtype(name: str, for_training: bool) -> torch.dtype:
    if name == "auto":
        return torch.bfloat16 if torch.cuda.is_available() and not for_training else torch.float32
    if name not in _DTYPES:
        raise SettingsError("dtype", f"must be one of auto, {', '.join(_DTYPES)}, not {name!r}.")
    return _DTYPES[name]


def _load(base: str, adapter: Path | None, home: Path, dtype: torch.dtype, for_training: bool) -> tuple[Any, Any]:
    adapter = _checked_adapter(adapter) if adapter else None
    whole = adapter if adapter and not is_lora(adapter) else None
    source = str(whole) if whole else _resolve(base, home)
    model, tokenizer = load_gguf(Path(source), dtype) if source.endswith(".gguf") else _pretrained(source, dtype)
    if adapter and not whole:
        model = _with_adapter(model, adapter, for_training)
    if for_training:
        return model, tokenizer
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer


def _resolve(base: str, home: Path) -> str:
    """What transformers is given: an existing folder or file, or a hub id."""
    if base == "bundled":
        return str(bundled.ensure_bundled_student(home))
    if base == "bundled-teacher":
        return str(bundled.ensure_bundled_teacher(home))
    path = Path(base).expanduser()
    if path.is_dir() or (path.is_file() and path.suffix == ".gguf"):
        return str(path.resolve())
    if path.is_file():
        raise ModelLoadError(
            f"{base} is a file that cannot be read as a model.", "Name a folder with safetensors, or a .gguf file."
        )
    if not _HUB_ID.fullmatch(base) or base.endswith(".gguf"):
        raise ModelLoadError(f"The model folder {base} does not exist.", "Check the path, or name a Hugging Face id.")
    return base


def _pretrained(source: str, dtype: torch.dtype) -> tuple[Any, Any]:
    if Path(source).is_dir():
        _check_folder(Path(source))
    _check_causal(source)
    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, use_safetensors=True, trust_remote_code=False)
    return model, tokenizer


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise ModelLoadError(f"{folder} holds no model: config.json is missing.", "Name the folder that holds it.")
    if not any(folder.glob("*.safetensors")):
        found = "only .bin weights, which can hold code" if any(folder.glob("*.bin")) else "no weights"
        raise ModelLoadError(
            f"{folder} holds {found}.", "Save the model as safetensors: save_pretrained(..., safe_serialization=True)."
        )
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise ModelLoadError(f"{folder} holds no tokenizer.", "Save the model's tokenizer into the same folder.")


def _check_causal(source: str) -> None:
    config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    known = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type)
    named = config.architectures or []
    if known is None or (named and not any(name == known or name.endswith("ForCausalLM") for name in named)):
        kind = ", ".join(named) or config.model_type
        raise ModelLoadError(
            f"{source} is not a causal language model ({kind}).", "Choose a decoder model, such as Llama or Qwen."
        )


def _checked_adapter(folder: Path) -> Path:
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise ModelLoadError(f"The checkpoint folder {folder} does not exist.", "Train the iteration again.")
    if is_lora(folder) and not (folder / "adapter_model.safetensors").is_file():
        raise ModelLoadError(f"{folder} holds no adapter_model.safetensors.", "Train the iteration again.")
    return folder


def _with_adapter(model: Any, folder: Path, for_training: bool) -> Any:
    from peft import PeftModel

    adapted = PeftModel.from_pretrained(model, str(folder), is_trainable=for_training)
    return adapted if for_training else adapted.merge_and_unload()
