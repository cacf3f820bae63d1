import pytest
from django.core.management import CommandError, call_command

from lionweb.models import Pool

pytestmark = pytest.mark.django_db


@pytest.fixture
def pool_file(tmp_path):
    def write(content, name="pool.jsonl"):
        path = tmp_path / name
        path.write_bytes(content)
        return str(path)

    return write


def test_it_imports_a_file_and_says_how_much(pool_file, capsys):
    call_command("import", pool_file(b'{"instruction": "One"}\n{"instruction": "Two"}\n'), "--name", "Mine")

    assert "Mine: 2 instructions imported." in capsys.readouterr().out
    assert Pool.objects.get().kind == "seed"


def test_a_held_out_set_is_marked_as_such(pool_file):
    call_command("import", pool_file(b'{"instruction": "One"}'), "--name", "Mine", "--kind", "heldout")

    assert Pool.objects.get().kind == "heldout"


def test_bad_lines_stop_it_with_their_numbers(pool_file, capsys):
    with pytest.raises(CommandError, match="--keep-good"):
        call_command("import", pool_file(b'{"instruction": "One"}\n{bad\n'), "--name", "Mine")

    assert "line 2: The line is not JSON" in capsys.readouterr().err
    assert not Pool.objects.exists()


def test_good_lines_are_kept_on_demand_and_the_bad_ones_told(pool_file, capsys):
    content = b'{"instruction": "One"}\n{bad\n{"instruction": "One"}\n'
    call_command("import", pool_file(content), "--name", "Mine", "--keep-good")

    said = capsys.readouterr()
    assert "1 instructions imported, 1 bad lines left out." in said.out
    assert "1 repeated rows were merged" in said.out
    assert "line 2" in said.err


def test_many_bad_lines_are_told_in_short(pool_file, capsys):
    with pytest.raises(CommandError):
        call_command("import", pool_file(b'{"instruction": "One"}\n' + b"{bad\n" * 300), "--name", "Mine")

    said = capsys.readouterr().err
    assert "line 21" in said
    assert "line 22" not in said
    assert "and 280 more" in said


def test_a_missing_file_is_told_in_plain_words(tmp_path):
    with pytest.raises(CommandError, match="No such file"):
        call_command("import", str(tmp_path / "none.jsonl"), "--name", "Mine")


def test_a_folder_is_told_in_plain_words(tmp_path):
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("import", str(tmp_path), "--name", "Mine")


def test_a_taken_name_is_told_in_plain_words(pool_file):
    path = pool_file(b'{"instruction": "One"}')
    call_command("import", path, "--name", "Mine")

    with pytest.raises(CommandError, match="there already"):
        call_command("import", path, "--name", "Mine")
