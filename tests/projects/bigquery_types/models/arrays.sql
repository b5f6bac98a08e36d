select 1 as id, [0.5] as doubles
