"""A random two-layer Llama with a small byte-level tokenizer: a whole model on disk in a fraction of a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_CORPUS = (
    "Name three rivers of Europe and say where each of them ends.",
    "Write a short poem about the sea in the morning.",
    "Explain why the sky is blue to a child of seven years.",
    "### Instruction:\nAdd the numbers.\n\n### Input:\n1 and 2\n\n### Response:\nThe sum is 3.",
    "user assistant system instruction response",
)


def build_tiny_model(
    folder: Path, *, chat_template: bool = True, pad_token: bool = True, seed: int = 0, **config: Any
) -> Path:
    """Write the model and its tokenizer into `folder` as safetensors, and return the folder.

    `config` replaces settings of the LlamaConfig. EOS is <|im_end|>. Weights are drawn wide, so that greedy answers vary and no two logits tie.
    """
    tokenizer = build_tiny_tokenizer(chat_template=chat_template, pad_token=pad_token)
    tokenizer.save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        LlamaForCausalLM(_config(tokenizer, **config)).save_pretrained(folder)
    return folder


def build_tiny_tokenizer(*, chat_template: bool = True, pad_token: bool = True) -> Any:
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *(["<pad>"] if pad_token else [])]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    raw.train_from_iterator(_CORPUS, trainer)
    names = {"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>", **({"pad_token": "<pad>"} if pad_token else {})}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, additional_special_tokens=["<|im_start|>"], **names)
    tokenizer.chat_template = CHAT_TEMPLATE if chat_template else None
    return tokenizer


def _config(tokenizer: Any, **changes: Any) -> LlamaConfig:
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.2,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return LlamaConfig(**{**settings, **changes})
