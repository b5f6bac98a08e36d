# Who may connect to whom. Rules name groups, never addresses, but for the way out to AWS and to the image's registry.

resource "aws_security_group" "task" {
  # checkov:skip=CKV2_AWS_5:The schedule attaches it (task.tf), where checkov does not look.
  name        = "${var.name}-task"
  description = "The task that builds and pushes"
  vpc_id      = var.vpc_id
}

resource "aws_security_group" "redis" {
  name        = "${var.name}-redis"
  description = "Redis, the online store"
  vpc_id      = var.vpc_id
}

resource "aws_security_group" "postgres" {
  name        = "${var.name}-postgres"
  description = "PostgreSQL, the warehouse"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_egress_rule" "task_to_redis" {
  security_group_id            = aws_security_group.task.id
  description                  = "Pushes"
  referenced_security_group_id = aws_security_group.redis.id
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
}

resource "aws_vpc_security_group_egress_rule" "task_to_postgres" {
  security_group_id            = aws_security_group.task.id
  description                  = "dbt and pushes"
  referenced_security_group_id = aws_security_group.postgres.id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}

resource "aws_vpc_security_group_egress_rule" "task_to_aws" {
  security_group_id = aws_security_group.task.id
  description       = "The image, secrets, logs and S3"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_ingress_rule" "redis_from_task" {
  security_group_id            = aws_security_group.redis.id
  description                  = "Pushes"
  referenced_security_group_id = aws_security_group.task.id
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
}

resource "aws_vpc_security_group_ingress_rule" "redis_from_readers" {
  for_each = var.reader_security_group_ids

  security_group_id            = aws_security_group.redis.id
  description                  = "Feature vectors for ${each.key}"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
}

resource "aws_vpc_security_group_ingress_rule" "postgres_from_task" {
  security_group_id            = aws_security_group.postgres.id
  description                  = "dbt and pushes"
  referenced_security_group_id = aws_security_group.task.id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}
