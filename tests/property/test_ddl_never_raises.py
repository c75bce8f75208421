"""Whatever a statement is, it is classified, and the history takes it or stops with a clear error."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.errors import UnknownEvent
from cdc.model import TableId
from cdc_source_mysql.schema.ddl.changes import Dml, Unknown
from cdc_source_mysql.schema.ddl.classify import classify
from cdc_source_mysql.schema.definitions import ColumnDefinition, TableDefinition
from cdc_source_mysql.schema.history.history import History

TEXT = r"""
alter table create drop rename truncate t u `t` `a b` db . , ( ) ; = * - add column modify change id v w
int varchar(5) varchar ( 5 ) enum('a','b') text(9) timestamp not null default 'x' 5 -1 x'41' b'1' (1+1) first
after primary key unique index on to as select from set convert character charset latin1 collate utf8mb4_bin
partition by exchange with system versioning period for if exists or replace temporary like engine
comment auto_increment generated always virtual check constraint references foreign insert into update
delete values call statement /*! */ /*M! /* ' " ` \ -- # 1t 0x1 .5 é 表 order tablespace import column
visible invisible add drop alter table t alter table t alter table t
"""
WORDS = [*TEXT.split(), "\n"]
SEEDS = (
    "alter table t add column w varchar(5) character set latin1 not null default 'x' after id, drop v",
    "create table u (id int primary key, v varchar(9), unique key k (v(3))) engine=InnoDB charset=latin1",
    "rename table t to u, u to v",
    "alter table t change v w enum('a','b') first, convert to character set utf8mb4, order by id, v",
    "alter table t modify id bigint unsigned auto_increment, add primary key (id), rename to u",
    "create table t (a timestamp, b bit(3) default b'1') partition by hash (a) as select 1",
)
T = TableId("db", "t")
DEFINITION = TableDefinition(
    T, (ColumnDefinition("id", "int", nullable=False), ColumnDefinition("v", "varchar(5)", "latin1")), ("id",)
)


@st.composite
def _statements(draw: st.DrawFn) -> str:
    """Words at random, or a real statement with words taken out, doubled or put in."""
    if draw(st.booleans()):
        return " ".join(draw(st.lists(st.sampled_from(WORDS), max_size=25)))
    words = draw(st.sampled_from(SEEDS)).split(" ")
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(words)))
        count = draw(st.integers(0, 2))
        words[at : at + count] = draw(st.lists(st.sampled_from(WORDS), max_size=2))
    return " ".join(words)


@settings(max_examples=300, deadline=None)
@given(
    sql=_statements(),
    mode=st.sampled_from((0, 4, 1 << 20, 4 | 1 << 20 | 1 << 21)),
    flavour=st.sampled_from(("mysql", "mariadb")),
)
def test_every_statement_is_classified_and_applied(sql: str, mode: int, flavour: str) -> None:
    changes = classify(sql, "db", mode, flavour=flavour)
    history = History(lambda table: table.schema == "db", flavour=flavour, collations={})
    history.begin([DEFINITION])
    try:
        applied = history.apply(changes)
    except UnknownEvent:
        assert any(isinstance(change, Dml) for change in changes)
        return
    for table, definition in history.definitions().items():
        assert definition.table == table
        assert set(definition.key) <= set(definition.names)
        assert len(set(map(str.lower, definition.names))) == len(definition.names)
    if any(isinstance(change, Unknown) for change in changes):
        assert applied.notes


@settings(max_examples=200, deadline=None)
@given(sql=st.binary(max_size=60), charset=st.sampled_from(("utf8mb4", "latin1", "gbk", "sjis", "binary")))
def test_bytes_of_any_kind_are_classified(sql: bytes, charset: str) -> None:
    classify(sql, "db", charset=charset)
