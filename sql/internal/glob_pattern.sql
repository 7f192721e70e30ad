-- The regular expression of a glob for paths: ? is one character and * any number of them, but no slash; ** is anything,
-- and before a slash any number of folders, also none. All else stands for itself. Null, which matches nothing, where it
-- has the two characters that stand for ** meanwhile (they are in no path), or is longer than any path.
create or replace function qgjob.glob_pattern(p_glob text) returns text language sql immutable parallel safe as $$
  select '^' || replace(replace(replace(replace(replace(replace(
      regexp_replace(p_glob, '([^\w/*?-])', '\\\1', 'g'),
      '?', '[^/]'), '**/', e'\x01'), '**', e'\x02'), '*', '[^/]*'), e'\x01', '(.*/)?'), e'\x02', '.*') || '$'
  where p_glob !~ e'[\x01\x02]' and length(p_glob) <= 512
$$;
