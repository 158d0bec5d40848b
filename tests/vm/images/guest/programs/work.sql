-- SPDX-License-Identifier: GPL-2.0-or-later
-- A workload for sqlite3: tables, indices, joins, windows, floating point, recursion, a virtual table.
create table item(id integer primary key, k integer, r real, t text);
create index item_k on item(k);
begin;
with recursive n(i, x) as (select 1, 17 union all select i + 1, (x * 1103515245 + 12345) % 2147483648 from n where i < 8000)
    insert into item select i, x % 1000, x / 7.0, printf('%x-%d-%s', x, i, hex(x)) from n;
commit;
select count(*), sum(k), avg(r), max(t), min(t), total(r * r) from item;
select k, count(*), group_concat(id, ',') from item group by k having count(*) > 17 order by k limit 9;
select a.id, b.id, a.r / b.r from item a join item b on a.k = b.k + 1 and a.id < b.id order by a.r - b.r, a.id limit 9;
update item set t = upper(t) || substr(t, 3, k % 9), r = round(r, 2) where k % 3 = 0;
delete from item where id % 7 = 3;
select id, r, sum(r) over (order by k, id rows 3 preceding), rank() over (partition by k % 5 order by r) from item
    order by k, id limit 12;
create table other as select k % 50 as g, count(*) as c, sum(r) as s, avg(length(t)) as l from item group by g;
select * from other where g in (select k % 50 from item where t like '%AB%') order by s limit 10;
select json_group_array(json_object('g', g, 'l', l)) from (select * from other order by g limit 8);
select sin(1.25), exp(1.5), pow(2, 0.3), ln(10), mod(17.5, 4), degrees(pi());
create virtual table words using fts5(t);
insert into words select replace(t, '-', ' ') from item;
select count(*), max(rowid) from words where words match '1*';
vacuum;
reindex;
select sum(id * k) % 1000003, sum(length(t)), printf('%.17g', sum(r)) from item;
