"""The settings of every session that we open on a source server.

A session begins with the server's global values and whatever `init_connect` runs. Each variable that can
change what a statement of ours returns, or whether it returns at all, is set to a value of ours, never to
`default`, which is the global value again. tests/support/mysql/session_variables.py classifies all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cdc_source_mysql.limits import DEFAULTS, Limits

# If another session holds a lock longer, the statement fails and is retried.
LOCK_TIMEOUT_SECONDS = 10
# A connection can be idle between two chunks of a snapshot that takes hours.
IDLE_SECONDS = 86_400
_NO_LIMIT = 2**64 - 1

# Variables of every supported server. The limit comes first: it applies to all later questions.
SETTINGS: Mapping[str, str] = {
    "sql_select_limit": str(_NO_LIMIT),
    # Setting max_join_size turns sql_big_selects off.
    "max_join_size": str(_NO_LIMIT),
    "sql_big_selects": "1",
    "sql_safe_updates": "0",
    "sql_auto_is_null": "0",
    "sql_buffer_result": "0",
    # No padding of CHAR, double quotes are strings, backslashes escape. Dates that no calendar has may be
    # part of a key, and MySQL accepts them in a condition only in this mode (else error 1525).
    "sql_mode": "'ALLOW_INVALID_DATES'",
    "time_zone": "'+00:00'",
    # A server whose default is off says in its greeting that it is on.
    "autocommit": "1",
    # CHAIN would begin a transaction after COMMIT, RELEASE would close the connection.
    "completion_type": "NO_CHAIN",
    "group_concat_max_len": "1048576",
    "div_precision_increment": "4",
    "default_week_format": "0",
    "lc_time_names": "'en_US'",
    # Messages that we pass on are in one language, and the few that distinguish errors of one number.
    "lc_messages": "'en_US'",
    # MySQL before 8.0.20 and MariaDB order longer values by their first bytes only.
    "max_sort_length": "1024",
    "sql_quote_show_create": "1",
    "lock_wait_timeout": str(LOCK_TIMEOUT_SECONDS),
    "innodb_lock_wait_timeout": str(LOCK_TIMEOUT_SECONDS),
    "wait_timeout": str(IDLE_SECONDS),
}
# How long the server waits for us; the value is in the limits.
PATIENCE_VARIABLES = ("net_write_timeout", "net_read_timeout")
# Variables that only some versions or builds have.
OPTIONAL_SETTINGS: Mapping[str, str] = {
    "max_execution_time": "0",
    "max_statement_time": "0",
    "idle_transaction_timeout": "0",
    "idle_readonly_transaction_timeout": "0",
    "idle_write_transaction_timeout": "0",
    # MariaDB would show versioned tables as of another time. Of this variable alone DEFAULT is a value of its
    # own, the present, whatever the global value is.
    "system_versioning_asof": "default",
    "old_mode": "''",
    "default_regex_flags": "''",
    "character_set_collations": "''",
    "query_cache_type": "0",
    # A node of a Galera cluster without a quorum, and HeatWave's copy of a table, answer with old rows.
    "wsrep_dirty_reads": "0",
    "use_secondary_engine": "OFF",
    # information_schema may hide generated invisible primary keys, which row images contain.
    "show_gipk_in_create_table_and_information_schema": "1",
}
# What SET TRANSACTION sets, under the names of old and of new servers.
TRANSACTION_VARIABLES = ("transaction_isolation", "tx_isolation", "transaction_read_only", "tx_read_only")
_TRANSACTION = "set session transaction isolation level repeatable read, read write"
# One known character set and collation for texts of ours and for the server's answers.
CHARACTER_VARIABLES: Mapping[str, str] = {
    "character_set_client": "utf8mb4",
    "character_set_connection": "utf8mb4",
    "character_set_results": "utf8mb4",
    "collation_connection": "utf8mb4_general_ci",
}
_NAMES = "set names utf8mb4 collate utf8mb4_general_ci"


def prepare_session(cursor: Any, limits: Limits = DEFAULTS) -> None:
    """Set every variable on the cursor's new connection. PyMySQL's errors are the caller's."""
    patience = dict.fromkeys(PATIENCE_VARIABLES, str(limits.server_patience_seconds))
    cursor.execute(_assignments({**SETTINGS, **patience}))
    cursor.execute(_NAMES)
    cursor.execute(_TRANSACTION)
    listed = ", ".join(f"'{name}'" for name in OPTIONAL_SETTINGS)
    cursor.execute(f"show session variables where variable_name in ({listed})")
    present = {str(name).lower() for name, _ in cursor.fetchall()}
    cursor.execute(
        _assignments({name: OPTIONAL_SETTINGS[name] for name in OPTIONAL_SETTINGS if name in present})
    )


def _assignments(settings: Mapping[str, str]) -> str:
    return "set " + ", ".join(f"session {name} = {value}" for name, value in settings.items())
