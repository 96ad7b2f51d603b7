-- What a server says, as inputs for the fuzz targets: run by psql against a throw-away database of a server with wal_level=logical
-- (README.md has the command). Each line that comes out is a target, a name and the input in hexadecimal.
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' '
set datestyle = 'ISO'; set intervalstyle = 'postgres'; set timezone = 'UTC'; set extra_float_digits = 1; set bytea_output = 'hex';

create schema capture;
set search_path = capture, pg_catalog;
create type mood as enum ('sad', 'ok', 'it''s "fine", really');
create table seed (target text, name text, input bytea);

-- A number below 65,536 as two bytes, the lower one first.
create function u16(n int) returns bytea language sql as
  $$ select set_byte(set_byte('\x0000', 0, n & 255), 1, n >> 8) $$;
create function u8(n int) returns bytea language sql as $$ select set_byte('\x00', 0, n) $$;

-- Values of each type in the order of `TYPES` (cdc/src/fuzzing/value.rs), as text and as what the type's send function gives, alone and
-- in arrays.
create table type (choice int, name text, send text, edges text[]);
insert into type values
  (0, 'bool', 'boolsend', '{t,f}'),
  (1, 'bytea', 'byteasend', array['', '\x00ff5c27', 'abc']),
  (2, '"char"', 'charsend', array['a', '\377', '']),
  (3, 'name', 'namesend', '{public}'),
  (4, 'int8', 'int8send', '{-9223372036854775808,9223372036854775807,0}'),
  (5, 'int2', 'int2send', '{-32768,32767}'),
  (6, 'int4', 'int4send', '{-2147483648,2147483647}'),
  (7, 'text', 'textsend', array['', 'NULL', 'a "b" \c', E'tab\tline\nö', '{x,y}']),
  (8, 'oid', 'oidsend', '{0,4294967295}'),
  (9, 'json', 'json_send', array['{"a": [1, null]}']),
  (10, 'float4', 'float4send', '{NaN,Infinity,-Infinity,-0,1e-45,3.4028235e38,0.1,1000000,123456}'),
  (11, 'float8', 'float8send', '{NaN,-Infinity,-0,5e-324,1.7976931348623157e308,0.1,1e15,1e-5,9007199254740993}'),
  (12, 'bpchar', 'bpcharsend', array['pad   ']),
  (13, 'varchar', 'varcharsend', array['v']),
  (14, 'date', 'date_send', array['infinity', '-infinity', '4713-01-01 BC', '5874897-12-31', '1970-01-01', '0001-12-31 BC', '2024-02-29']),
  (15, 'time', 'time_send', '{00:00:00,24:00:00,23:59:59.999999,12:00:00.5}'),
  (16, 'timestamp', 'timestamp_send', array['infinity', '-infinity', '4713-01-01 00:00:00 BC', '294276-12-31 23:59:59.999999', '1969-12-31 23:59:59.999999', '1999-12-31 12:00:00.1']),
  (17, 'timestamptz', 'timestamptz_send', array['infinity', '4713-01-02 00:00:00+00 BC', '294247-01-10 04:00:54.775807+00', '2024-02-29 12:00:00.25+05:30']),
  (18, 'interval', 'interval_send', array['0', '-1 year -2 mons +3 days -04:05:06.789', '178000000 years', '100000000:00:00.000001', '1 mon -1 day']),
  (19, 'timetz', 'timetz_send', array['12:34:56.789+05:30', '24:00:00-15:59:59', '00:00:00+00']),
  (20, 'numeric', 'numeric_send', array['NaN', 'Infinity', '-Infinity', '0', '0.000', '-0.00000000000000000001', '1e130', '12345678901234567890.0987654321', '10000', '1000000.00010']),
  (21, 'numeric(10,2)', 'numeric_send', array['NaN', '0', '-99999999.99', '99999999.99', '10000.01']),
  (22, 'numeric(38,38)', 'numeric_send', array['0.00000000000000000000000000000000000001', '-0.99999999999999999999999999999999999999']),
  (23, 'numeric(76,30)', 'numeric_send', array['9999999999999999999999999999999999999999999999.999999999999999999999999999999', '-1']),
  (24, 'numeric(3,-2)', 'numeric_send', array['99900', '-100', '0']),
  (25, 'uuid', 'uuid_send', '{00000000-0000-0000-0000-000000000000,f81d4fae-7dec-11d0-a765-00a0c91e6bf6}'),
  (26, 'jsonb', 'jsonb_send', array['{"a": [1, null], "b": "c"}', '"x"', '1.50']),
  (27, 'point', 'point_send', array['(1,2)']),
  (29, 'capture.mood', 'enum_send', array['sad', 'it''s "fine", really']);

create function capture_values() returns void language plpgsql as $$
declare t type; edge text; n int; base text; item text;
begin
  for t in select * from type loop
    n := 0;
    base := regexp_replace(t.name, '\(.*', '');
    foreach edge in array t.edges loop
      n := n + 1;
      item := format('%s-%s', lpad(t.choice::text, 2, '0'), n);
      execute format('insert into seed select ''value'', %L, u8(%s) || u8(0) || convert_to(%L::%s::text, ''UTF8'')',
                     item || '-text', t.choice, edge, t.name);
      execute format('insert into seed select ''value'', %L, u8(%s) || u8(1) || %s(%L::%s)',
                     item || '-binary', t.choice, t.send, edge, t.name);
    end loop;
    item := lpad(t.choice::text, 2, '0');
    execute format('insert into seed select ''value'', %L, u8(%s) || u8(2) || convert_to((%L::text[] || null)::%s[]::text, ''UTF8'')',
                   item || '-array-text', t.choice, t.edges, t.name);
    execute format('insert into seed select ''value'', %L, u8(%s) || u8(3) || array_send((%L::text[] || null)::%s[])',
                   item || '-array-binary', t.choice, t.edges, t.name);
  end loop;
end $$;
select capture_values() \g /dev/null
insert into seed select 'value', 'vector-text', u8(28) || u8(0) || convert_to('[1,2.5,-3e-07]', 'UTF8');
insert into seed select 'value', 'array-bounds', u8(6) || u8(3) || array_send('[2:3][0:1]={{1,2},{3,null}}'::int4[]);

-- Messages of pgoutput, and what COPY sends.
create table t1 (c0 int4 primary key, c1 text, c2 numeric);
create table t2 (c0 int8, c1 timestamptz);
alter table t2 replica identity full;
alter table t1 alter column c1 set storage external;
create publication p for table t1, t2;
select pg_create_logical_replication_slot('capture_text', 'pgoutput') \g /dev/null
select pg_create_logical_replication_slot('capture_binary', 'pgoutput') \g /dev/null
select pg_create_logical_replication_slot('capture_streamed', 'pgoutput') \g /dev/null
begin; insert into t1 values (1, 'a', 1.50), (2, null, 'NaN'); insert into t2 values (7, '2024-01-01 00:00:00+00'), (null, 'infinity'); commit;
begin; update t1 set c2 = 3 where c0 = 1; update t1 set c0 = 9 where c0 = 2; update t2 set c0 = 8 where c0 = 7; commit;
insert into t1 values (3, repeat('x', 2100), 0);
update t1 set c2 = 1e20 where c0 = 3;
begin; delete from t1 where c0 = 1; delete from t2 where c0 is null; savepoint s; insert into t1 values (5, 's', 5); rollback to s; truncate t1, t2 cascade; commit;
select pg_logical_emit_message(true, 'prefix', 'content') \g /dev/null
alter table t1 add c3 bool default true;
insert into t1 values (4, E'tab\there\\', -0.001, null);
begin;
insert into t1 select n, 'row ' || n, n / 7.0, n % 2 = 0 from generate_series(100, 700) n;
savepoint s; insert into t1 values (50, 'gone', 1, false); rollback to s;
insert into t1 values (51, 'kept', 1, false);
commit;

create table message as
  select 'text' how, row_number() over () n, data from pg_logical_slot_get_binary_changes('capture_text', null, null,
    'proto_version', '1', 'publication_names', 'p', 'messages', 'true');
insert into message
  select 'binary', row_number() over (), data from pg_logical_slot_get_binary_changes('capture_binary', null, null,
    'proto_version', '1', 'publication_names', 'p', 'binary', 'true', 'messages', 'true');
insert into message
  select 'streamed', row_number() over (), data from pg_logical_slot_get_binary_changes('capture_streamed', null, null,
    'proto_version', '2', 'publication_names', 'p', 'streaming', 'on');

-- Of messages that differ in little, one.
insert into seed
  select distinct on (how, get_byte(data, 0), length(data) / 16) 'pgoutput', how || '-' || n, u8((how = 'streamed')::int) || data
  from message where length(data) < 400 order by how, get_byte(data, 0), length(data) / 16, n;
insert into seed select 'stream', how, string_agg(u16(length(data)) || data, '' order by n) from message
  where n <= 60 and length(data) < 400 group by how;
insert into seed select 'stream', 'streamed-end', string_agg(u16(length(data)) || data, '' order by n) from message
  where how = 'streamed' and (chr(get_byte(data, 0)) in ('S', 'E', 'A', 'c', 'R') or n % 100 = 0);
-- Tables of a block are called 1 and 2.
insert into seed
  select 'block', how, u8(2) || u8(0) || string_agg(u16(length(data)) || case
      when substr(data, 2, 4) = int4send('t1'::regclass::oid::int) then substr(data, 1, 1) || int4send(1) || substr(data, 6)
      when substr(data, 2, 4) = int4send('t2'::regclass::oid::int) then substr(data, 1, 1) || int4send(2) || substr(data, 6)
      else data end, '' order by n)
  from message where how <> 'streamed' and n <= 30 and length(data) < 400 and chr(get_byte(data, 0)) in ('B', 'C', 'I', 'U', 'D', 'R')
  group by how;

create table copied (c0 int4, c1 text, c2 numeric);
insert into copied values (1, E'tab\t line\n back\\ö', 1.50), (null, null, null), (-1, '', 'NaN');
copy copied to '/tmp/fuzz-capture.text';
copy copied to '/tmp/fuzz-capture.binary' (format binary);
insert into seed select 'copy', 'text', u8(0) || pg_read_binary_file('/tmp/fuzz-capture.text');
insert into seed select 'copy', 'binary', u8(1) || pg_read_binary_file('/tmp/fuzz-capture.binary');
insert into seed select 'block', 'copy-text', u8(0) || u8(17) || '\x0301000000000000000200000000000000' || u16(length(bytes)) || bytes
  from pg_read_binary_file('/tmp/fuzz-capture.text') bytes;
insert into seed select 'block', 'copy-binary', u8(1) || u8(17) || '\x0301000000000000000200000000000000' || u16(length(bytes)) || bytes
  from pg_read_binary_file('/tmp/fuzz-capture.binary') bytes;

-- As walsenders send them: log data around a message, and a keepalive.
insert into seed
  select 'wire', 'lump', string_agg('\x64'::bytea || int4send(4 + 25 + length(data)) || '\x77' || int8send(n) || int8send(n + 1) || int8send(0) || data, '' order by n)
    || '\x64000000166b' || int8send(9) || int8send(0) || '\x01' from message where how = 'text' and n <= 6;

select target, name, encode(input, 'hex') from seed order by target, name;

select pg_drop_replication_slot('capture_text'), pg_drop_replication_slot('capture_binary'), pg_drop_replication_slot('capture_streamed') \g /dev/null
