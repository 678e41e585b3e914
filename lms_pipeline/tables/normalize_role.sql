-- The form in which roles are compared, the same as that of `normalize_role` in roles.py: metrics and checks share it.
-- The blanks are those of Python's `str.split`. `İ` becomes `i` with and without a dot above, by Python and by DuckDB.
CREATE OR REPLACE TEMP MACRO normalize_role(role) AS
    replace(lower(regexp_replace(role, '[\s\pZ\x0B\x1C-\x1F\x{85}]+', '', 'g')), 'i' || chr(775), 'i');
