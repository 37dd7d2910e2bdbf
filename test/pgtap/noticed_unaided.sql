-- The same as noticed.sql, without event triggers: what the next plan sees in the catalog must do.
\set unaided on
\ir noticed.sql
