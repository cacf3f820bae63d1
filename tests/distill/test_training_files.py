from distill.records import Finish, Instruction, TrainingExample
from distill.settings import TrainingSettings
from distill.training_data import read_examples
from distill.training_files import trainable_finishes, write_examples

EXAMPLES = [
    TrainingExample(Instruction("Translate.", "Guten Tag"), "Good day"),
    TrainingExample(Instruction("解释这句话。"), "这句话\n很长", complete=False),
]


def test_what_is_written_is_what_training_reads(tmp_path):
    path = tmp_path / "train.jsonl"
    assert write_examples(path, EXAMPLES) == 2
    assert read_examples(path) == EXAMPLES
    assert [one.name for one in tmp_path.iterdir()] == ["train.jsonl"]


def test_a_failure_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "train.jsonl"
    write_examples(path, EXAMPLES)

    def broken():
        yield EXAMPLES[0]
        raise OSError

    try:
        write_examples(path, broken())
    except OSError:
        assert read_examples(path) == EXAMPLES
    else:
        raise AssertionError("the error was swallowed")


def test_cut_answers_are_trained_on_only_if_asked_for_and_broken_ones_never():
    assert trainable_finishes(TrainingSettings()) == (Finish.STOP,)
    assert trainable_finishes(TrainingSettings(train_on_cut=True)) == (Finish.STOP, Finish.LENGTH)
