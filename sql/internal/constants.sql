-- Costs assumed until they are measured per test and per build: seconds to install a build, and to run one test.
create or replace function qgjob.assumed_install_s() returns double precision language sql immutable as 'select 30.0::double precision';
create or replace function qgjob.assumed_test_s() returns double precision language sql immutable as 'select 30.0::double precision';
