import json
import shutil

import pytest
import torch
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
from peft import LoraConfig, get_peft_model

from distill.errors import ModelLoadError, SettingsError
from distill.load_errors import as_model_load_error
from distill.weights import load_model
from tests.tiny_models import build_tiny_model

IDS = torch.tensor([[5, 6, 7, 8]])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def copy(tiny, tmp_path):
    return shutil.copytree(tiny, tmp_path / "copy")


def logits(model):
    with torch.no_grad():
        return model(IDS).logits


def test_a_folder_loads_in_full_precision_and_ready_for_use(tiny, tmp_path):
    loaded = load_model(str(tiny), home=tmp_path)

    assert loaded.model.dtype == torch.float32
    assert not loaded.model.training
    assert loaded.base == str(tiny)


def test_precision_can_be_chosen(tiny, tmp_path):
    assert load_model(str(tiny), home=tmp_path, dtype="bf16").model.dtype == torch.bfloat16
    with pytest.raises(SettingsError, match="dtype"):
        load_model(str(tiny), home=tmp_path, dtype="int3")


def test_a_missing_pad_token_is_replaced_by_eos(tmp_path):
    folder = build_tiny_model(tmp_path / "m", pad_token=False)

    tokenizer = load_model(str(folder), home=tmp_path).tokenizer

    assert tokenizer.pad_token_id == tokenizer.eos_token_id


def test_a_pad_token_without_a_row_in_the_embeddings_is_replaced(copy, tmp_path):
    config = json.loads((copy / "tokenizer_config.json").read_text())
    (copy / "tokenizer_config.json").write_text(json.dumps({**config, "pad_token": "<new pad>"}))

    loaded = load_model(str(copy), home=tmp_path)

    assert loaded.tokenizer.pad_token_id < loaded.model.get_input_embeddings().weight.shape[0]


def test_a_lora_checkpoint_is_merged_for_inference_and_kept_trainable_for_training(tiny, tmp_path):
    base = load_model(str(tiny), home=tmp_path)
    expected = logits(base.model)
    torch.manual_seed(1)
    adapted = get_peft_model(base.model, LoraConfig(r=4, target_modules=["q_proj", "up_proj"], init_lora_weights=False))
    adapted.save_pretrained(tmp_path / "adapter")
    wanted = logits(adapted)

    merged = load_model(str(tiny), tmp_path / "adapter", home=tmp_path).model
    trainable = load_model(str(tiny), tmp_path / "adapter", home=tmp_path, for_training=True).model

    assert not torch.allclose(wanted, expected, atol=1e-3)
    assert torch.allclose(logits(merged), wanted, atol=1e-4)
    assert not any("lora" in name for name, _ in merged.named_parameters())
    assert any("lora" in name and p.requires_grad for name, p in trainable.named_parameters())


def test_a_whole_model_as_checkpoint_replaces_the_base(tiny, tmp_path):
    other = build_tiny_model(tmp_path / "full", seed=7)

    loaded = load_model(str(tiny), other, home=tmp_path)

    assert torch.equal(logits(loaded.model), logits(load_model(str(other), home=tmp_path).model))


def drop_config(folder):
    (folder / "config.json").unlink()


def only_bin(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def drop_weights(folder):
    (folder / "model.safetensors").unlink()


def drop_tokenizer(folder):
    for path in folder.glob("token*"):
        path.unlink()


def make_bert(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "architectures": ["BertForMaskedLM"]}))


def make_own_code(folder):
    config = {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text("raise SystemExit('ran')")


def break_weights(folder):
    (folder / "model.safetensors").write_bytes(b"\x00" * 64)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (drop_config, "config.json is missing"),
        (only_bin, "only .bin weights"),
        (drop_weights, "no weights"),
        (drop_tokenizer, "no tokenizer"),
        (make_bert, "not a causal language model"),
        (make_own_code, "code of its own"),
        (break_weights, "could not be loaded"),
    ],
)
def test_an_unusable_folder_is_refused_with_the_reason(copy, tmp_path, damage, said):
    damage(copy)

    with pytest.raises(ModelLoadError) as caught:
        load_model(str(copy), home=tmp_path)

    assert said in caught.value.cause
    assert caught.value.advice


@pytest.mark.parametrize("base", ["/no/such/folder", "./missing", "missing.gguf", "a/b/c", "two words", "../up"])
def test_a_path_that_leads_nowhere_is_not_asked_of_the_hub(base, tmp_path):
    with pytest.raises(ModelLoadError, match="does not exist"):
        load_model(base, home=tmp_path)


def test_a_file_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")

    with pytest.raises(ModelLoadError, match="cannot be read as a model"):
        load_model(str(tmp_path / "notes.txt"), home=tmp_path)


def test_an_adapter_of_another_model_does_not_fit(tiny, tmp_path):
    base = load_model(str(tiny), home=tmp_path)
    get_peft_model(base.model, LoraConfig(r=4, target_modules=["q_proj"])).save_pretrained(tmp_path / "adapter")
    other = build_tiny_model(tmp_path / "wide", hidden_size=32)

    with pytest.raises(ModelLoadError, match="does not fit"):
        load_model(str(other), tmp_path / "adapter", home=tmp_path)


def test_a_missing_checkpoint_is_said(tiny, tmp_path):
    with pytest.raises(ModelLoadError, match="checkpoint folder"):
        load_model(str(tiny), tmp_path / "gone", home=tmp_path)


def test_an_adapter_with_pickled_weights_is_refused(tiny, tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.bin").write_bytes(b"")

    with pytest.raises(ModelLoadError, match=r"adapter_model\.safetensors"):
        load_model(str(tiny), tmp_path, home=tmp_path)


def hub_fault(kind, message="fault"):
    fault = kind.__new__(kind)
    Exception.__init__(fault, message)
    return fault


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (OSError("We couldn't connect to 'https://example.org' to load this file"), "cannot be reached"),
        (hub_fault(LocalEntryNotFoundError), "cannot be reached"),
        (hub_fault(GatedRepoError), "gated"),
        (hub_fault(RepositoryNotFoundError), "no model named"),
        (ValueError("requires you to set `trust_remote_code=True`"), "code of its own"),
        (OSError("no file named model.safetensors found"), "no safetensors"),
        (RuntimeError("size mismatch for layer"), "does not fit"),
        (KeyError("surprise"), "could not be loaded"),
    ],
)
def test_faults_of_the_hub_and_the_libraries_become_plain_words(fault, said):
    error = as_model_load_error("some/model", fault)

    assert said in error.cause
    assert error.advice
    assert "some/model" in error.cause


def test_the_fault_behind_the_fault_counts():
    outer = OSError("something failed")
    outer.__cause__ = hub_fault(GatedRepoError)

    assert "gated" in as_model_load_error("some/model", outer).cause
