"""Where one installation keeps its data, and how its parts are reached: paths and URLs, nothing is created here.

Standard library only: the settings import this module in every process.
"""

import hashlib
import os
from pathlib import Path
from urllib.parse import quote

REPOSITORY = Path(__file__).resolve().parents[2]
DATABASE = "lionweb"
ROLE = "lionweb"

# sun_path holds 108 bytes on Linux and 104 on macOS.
LONGEST_SOCKET_PATH = 100
# Not tempfile.gettempdir(): two shells with different TMPDIR must find the same socket.
SHORT_FOLDER_PARENT = Path("/tmp")


def home() -> Path:
    """The data folder: LIONWEB_HOME, or var/ beside the code. Absolute, not necessarily there yet."""
    configured = os.environ.get("LIONWEB_HOME", "").strip()
    return Path(configured).expanduser().resolve() if configured else REPOSITORY / "var"


def run_folder(folder: Path) -> Path:
    """Lock, state files and sockets: what has no meaning after a restart of the machine."""
    return folder / "run"


def log_folder(folder: Path) -> Path:
    return folder / "logs"


def postgres_data(folder: Path) -> Path:
    return folder / "postgres"


def short_folder(folder: Path) -> Path:
    """A folder with a short name that belongs to this data folder and this user alone."""
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return SHORT_FOLDER_PARENT / f"lionweb-{os.getuid()}-{digest}"


def socket_folder(folder: Path) -> Path:
    """Where the Unix sockets lie: in the run folder, or in a short folder where its path does not suit a socket.

    A path may be too long, and PostgreSQL's clients read a comma as the start of a second host.
    """
    longest = os.fsencode(run_folder(folder) / "postgres" / ".s.PGSQL.5432")
    suits = len(longest) <= LONGEST_SOCKET_PATH and b"," not in longest
    return run_folder(folder) if suits else short_folder(folder)


def postgres_socket_folder(folder: Path) -> Path:
    return socket_folder(folder) / "postgres"


def postgres_url(folder: Path) -> str:
    # The host stands in the query, because URL parsers lower-case it where a host name usually stands.
    return f"postgresql://{ROLE}@/{DATABASE}?host={quote(str(postgres_socket_folder(folder)))}"


def valkey_socket(folder: Path) -> Path:
    return socket_folder(folder) / "valkey.sock"


def broker_url(folder: Path) -> str:
    return f"redis+socket://{quote(str(valkey_socket(folder)))}"


def lock_file(folder: Path) -> Path:
    return run_folder(folder) / "lock"


def up_state(folder: Path) -> Path:
    """What `up` says about itself and its processes; written by the supervisor, read by `status` and the workers page."""
    return run_folder(folder) / "up.json"


def teacher_state(folder: Path) -> Path:
    """What the bundled teacher server says about itself once it serves."""
    return run_folder(folder) / "teacher.json"
