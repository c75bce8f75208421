-- One recipe a paragraph: its name, the statements before the source starts, a line `--`, those while it runs.
-- `{t}` is the table; {users}, {rows}, {more} and {touch} are the statements of ordinary_mysql.py.

-- add_int
{users}
{rows}
--
alter table {t} add e int
{more}
{touch}

-- add_text_default
{users}
{rows}
--
alter table {t} add e varchar(20) not null default 'x'
{more}
{touch}

-- rename
{users}
{rows}
--
rename table {t} to {t}_b
update {t}_b set name = 'r'
rename table {t}_b to {t}
{more}

-- alter_rename
{users}
{rows}
--
alter table {t} rename to {t}_b
update {t}_b set name = 'r'

-- add_unique
{users}
{rows}
--
alter table {t} add unique key uq (email)
insert into {t} (name, email) values ('u', 'uuu')
update {t} set name = 'v' where id = 2

-- add_index
{users}
{rows}
--
create index ix on {t} (name)
{more}
drop index ix on {t}
{touch}

-- drop
{users}
{rows}
--
{more}
drop table {t}

-- scratch
--
create table {t}_s (id int primary key, v varchar(20))
insert into {t}_s values (1, 'a')
drop table {t}_s

-- scratch_again
--
create table {t}_s (id int primary key, v varchar(20))
insert into {t}_s values (1, 'a')
drop table {t}_s
create table {t}_s (v varchar(20), id int primary key, n int)
insert into {t}_s values ('a', 1, 2)

-- new_then_alter
--
{users}
{rows}
alter table {t} add e int
{touch}
alter table {t} add f varchar(9) after id, drop name
update {t} set f = 'f', e = 2

-- swap
{users}
{rows}
--
create table {t}_new like {t}
alter table {t}_new add e int
insert into {t}_new (id, name, email) select id, name, email from {t}
rename table {t} to {t}_old, {t}_new to {t}
{more}
drop table {t}_old
{touch}

-- widen
{users}
{rows}
--
alter table {t} modify name varchar(200)
{more}
{touch}
alter table {t} modify name text
{more}

-- int_to_text
{users}
{rows}
--
alter table {t} add e int default 7
{more}
alter table {t} modify e varchar(12)
{touch}
{more}

-- rename_column
{users}
{rows}
--
alter table {t} rename column name to label
update {t} set label = 'l' where id = 1
alter table {t} change label name varchar(60)
{more}

-- backfill
{users}
{rows}
--
alter table {t} add lower_name varchar(50)
update {t} set lower_name = lower(name)
alter table {t} drop name
alter table {t} rename column lower_name to name
{more}

-- drop_add_same
{users}
{rows}
--
alter table {t} drop name
alter table {t} add name varchar(50)
{more}
{touch}

-- drop_key
{users}
{rows}
--
alter table {t} modify id bigint not null
alter table {t} drop primary key
insert into {t} values (90, 'k', 'k')
update {t} set name = 'kk' where id = 2
alter table {t} add primary key (id)
insert into {t} values (91, 'k', 'k')

-- new_key
{users}
{rows}
--
alter table {t} add uid char(36) not null default 'x'
update {t} set uid = concat('u', id)
alter table {t} modify id bigint not null, drop primary key, add primary key (uid)
insert into {t} values (95, 'k', 'k', 'u95')
update {t} set name = 'p'

-- key_of_unique
create table {t} (a int, b varchar(10), c int)
insert into {t} values (1, 'a', 1), (2, 'b', 2)
--
alter table {t} modify a int not null, add unique (a)
update {t} set c = 5
alter table {t} add unique ub (b)
insert into {t} values (3, 'c', 3)
alter table {t} modify b varchar(10) not null
insert into {t} values (4, 'd', 3)
alter table {t} drop index a
update {t} set c = 6

-- enum
{users}
{rows}
--
alter table {t} add s enum('new','paid') not null default 'new'
{more}
alter table {t} modify s enum('draft','new','paid') not null default 'new'
update {t} set s = 'paid' where id = 1
{more}

-- charset_table
{users}
{rows}
--
alter table {t} default character set latin1
alter table {t} add l varchar(10)
update {t} set l = 'é' where id = 1
{more}

-- convert
{users} default charset latin1
insert into {t} (name, email) values ('é', 'ü')
--
alter table {t} convert to character set utf8mb4
update {t} set name = '日' where id = 1
{more}

-- ctas
{users}
{rows}
--
create table {t}_c as select * from {t}
update {t}_c set name = 'c' where id = 1
alter table {t}_c add primary key (id)
insert into {t}_c (id, name, email) values (70, 'x', 'x')

-- like
{users}
{rows}
--
create table {t}_l like {t}
insert into {t}_l select * from {t}
alter table {t}_l add z int
update {t}_l set z = 1

-- timestamps
{users}
{rows}
--
alter table {t} add created_at datetime(6) not null default current_timestamp(6), add updated_at timestamp null on update current_timestamp
{more}
{touch}

-- json
{users}
{rows}
--
alter table {t} add doc json
update {t} set doc = '{"a": 1}'
{more}

-- bool_decimal
{users}
{rows}
--
alter table {t} add b boolean not null default true, add d decimal(10,2) default 1.50
{more}
alter table {t} modify d decimal(14,4)
{touch}

-- generated
{users}
{rows}
--
alter table {t} add g varchar(60) as (concat(name, '!')) stored
{more}
alter table {t} drop g
{touch}

-- virtual
{users}
{rows}
--
alter table {t} add g varchar(60) as (concat(name, '!')) virtual
{more}
{touch}

-- foreign_key
{users}
{rows}
--
create table {t}_o (id int primary key, user_id bigint, note text, constraint fk_{t} foreign key (user_id) references {t} (id))
insert into {t}_o values (1, 1, 'n')
alter table {t}_o drop foreign key fk_{t}
alter table {t}_o add paid tinyint(1) not null default 0
update {t}_o set note = 'm'

-- many_to_many
{users}
{rows}
--
create table {t}_j (a bigint not null, b bigint not null, unique key (a, b))
insert into {t}_j values (1, 2), (1, 3)
alter table {t}_j add id bigint primary key auto_increment first
insert into {t}_j (a, b) values (3, 3)

-- partitions
create table {t} (id int primary key, v varchar(9)) partition by range (id) (partition p0 values less than (10), partition p1 values less than maxvalue)
insert into {t} values (1, 'a'), (20, 'b')
--
alter table {t} truncate partition p0
insert into {t} values (2, 'c')
alter table {t} drop partition p0
insert into {t} values (3, 'd')

-- truncate
{users}
{rows}
--
truncate table {t}
{more}
truncate {t}

-- new_truncated
--
{users}
{rows}
truncate table {t}
{more}

-- reorder
{users}
{rows}
--
alter table {t} modify email varchar(255) not null first
{more}
alter table {t} modify name varchar(50) after id
{touch}

-- collate_column
{users}
{rows}
--
alter table {t} modify name varchar(50) character set latin1
update {t} set name = 'ö' where id = 1
{more}

-- drop_two
{users}
{rows}
--
create table {t}_x (id int primary key, v text)
create table {t}_y (id int, v text)
insert into {t}_y values (1, 'y')
drop table {t}_x, {t}_y

-- not_null
{users}
{rows}
--
update {t} set name = 'none' where name is null
alter table {t} modify name varchar(50) not null
{more}
alter table {t} modify name varchar(50) null
insert into {t} (name, email) values (null, 'n')

-- default_change
{users}
{rows}
--
alter table {t} alter name set default 'dd'
insert into {t} (email) values ('q')
alter table {t} alter name drop default
{more}

-- memory
--
create table {t} (id int primary key, v varchar(10)) engine=memory
insert into {t} values (1, 'a')
alter table {t} engine=innodb
insert into {t} values (2, 'b')

-- myisam
--
create table {t} (id int primary key, v varchar(10)) engine=myisam
insert into {t} values (1, 'a')
alter table {t} add w int
insert into {t} values (2, 'b', 3)
