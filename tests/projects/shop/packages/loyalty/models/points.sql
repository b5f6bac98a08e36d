select 1 as customer, 10 as points
