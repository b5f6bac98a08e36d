select
    courier,
    bicycles
from (values ('anna', 1), ('bo', 2)) as couriers (courier, bicycles)
