# What the task and the readers ask for when they start. Terraform writes the URLs of Redis; the password of the role in
# PostgreSQL is yours to put, and Terraform never sees it.

resource "aws_secretsmanager_secret" "redis" {
  # checkov:skip=CKV2_AWS_57:These are passwords of ElastiCache users, which no rotation of AWS changes; replace random_password.redis.
  for_each = random_password.redis

  name       = "${var.name}/redis-${each.key}"
  kms_key_id = aws_kms_key.main.arn
}

resource "aws_secretsmanager_secret_version" "redis" {
  for_each = aws_secretsmanager_secret.redis

  secret_id     = each.value.id
  secret_string = "rediss://${each.key}:${random_password.redis[each.key].result}@${aws_elasticache_replication_group.redis.primary_endpoint_address}:6379/0"
}

resource "aws_secretsmanager_secret" "postgres" {
  # checkov:skip=CKV2_AWS_57:Its value is put by hand with the role that it belongs to, which Terraform does not know.
  name        = "${var.name}/postgres"
  description = "The password of the role that builds and pushes"
  kms_key_id  = aws_kms_key.main.arn
}
