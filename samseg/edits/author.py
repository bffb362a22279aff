"""Who edits, where nobody says."""

import getpass

from samseg.errors import ConfigError


def this_user() -> str:
    """Return the name of the user of this process.

    Raises:
        ConfigError: it has none.
    """
    try:
        return getpass.getuser()
    except (KeyError, OSError) as e:
        raise ConfigError("this process has no user name; give an author (--author NAME)") from e
