from lionweb.local import logs


def test_a_small_log_is_left_alone(tmp_path):
    log = logs.log_of(tmp_path, "web")
    log.parent.mkdir()
    log.write_text("short")

    logs.bound(log)

    assert log.read_text() == "short"
    assert not (log.parent / "web.log.1").exists()


def test_a_large_log_begins_anew_and_its_writer_notices_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "LARGEST_BYTES", 10)
    log = tmp_path / "web.log"
    with log.open("a") as writer:
        writer.write("old lines\n" * 3)
        writer.flush()

        logs.bound(log)
        writer.write("new line\n")

    assert log.read_text() == "new line\n"
    assert (tmp_path / "web.log.1").read_text() == "old lines\n" * 3


def test_on_a_full_disk_old_lines_are_given_up(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(logs, "LARGEST_BYTES", 10)
    monkeypatch.setattr(logs.shutil, "copyfile", full)
    log = tmp_path / "web.log"
    log.write_text("x" * 50)

    logs.bound(log)

    assert log.read_text() == ""


def test_a_log_that_is_not_there_yet_is_no_problem(tmp_path):
    logs.bound(tmp_path / "web.log")
