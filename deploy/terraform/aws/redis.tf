# Redis: one primary and a replica in another zone, with TLS, and users of its own. Not in cluster mode.

resource "aws_elasticache_subnet_group" "redis" {
  name       = "${var.name}-redis"
  subnet_ids = var.private_subnet_ids
}

# An evicted key would look to readers like an entity without a row; a push refuses any other policy.
resource "aws_elasticache_parameter_group" "redis" {
  name   = "${var.name}-redis"
  family = "valkey8"
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
}

resource "random_password" "redis" {
  for_each = toset(["writer", "reader"])

  length  = 48
  special = false # stands in a URL
}

# ElastiCache asks for a user "default" in each group: this one may do nothing.
resource "aws_elasticache_user" "default" {
  user_id       = "${var.name}-default"
  user_name     = "default"
  access_string = "off -@all"
  engine        = "valkey"
  authentication_mode {
    type = "no-password-required"
  }
}

resource "aws_elasticache_user" "writer" {
  user_id       = "${var.name}-writer"
  user_name     = "writer"
  access_string = "on ~${var.key_prefix}:* +@read +@write +@connection +@transaction +eval +info +time"
  engine        = "valkey"
  authentication_mode {
    type      = "password"
    passwords = [random_password.redis["writer"].result]
  }
}

resource "aws_elasticache_user" "reader" {
  user_id       = "${var.name}-reader"
  user_name     = "reader"
  access_string = "on %R~${var.key_prefix}:* +get +mget +hmget +smembers +scan +ping +client|setname +select"
  engine        = "valkey"
  authentication_mode {
    type      = "password"
    passwords = [random_password.redis["reader"].result]
  }
}

resource "aws_elasticache_user_group" "redis" {
  user_group_id = "${var.name}-redis"
  engine        = "valkey"
  user_ids      = [aws_elasticache_user.default.user_id, aws_elasticache_user.writer.user_id, aws_elasticache_user.reader.user_id]
}

resource "aws_elasticache_replication_group" "redis" {
  # checkov:skip=CKV_AWS_31:Users and their passwords (user_group_ids) stand in for the one auth_token, which has no rights.
  replication_group_id       = "${var.name}-redis"
  description                = "The newest row of every entity"
  engine                     = "valkey"
  engine_version             = "8.0"
  node_type                  = var.redis_node_type
  num_cache_clusters         = 2
  automatic_failover_enabled = true
  multi_az_enabled           = true
  port                       = 6379
  parameter_group_name       = aws_elasticache_parameter_group.redis.name
  subnet_group_name          = aws_elasticache_subnet_group.redis.name
  security_group_ids         = [aws_security_group.redis.id]
  user_group_ids             = [aws_elasticache_user_group.redis.user_group_id]
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  at_rest_encryption_enabled = true
  kms_key_id                 = aws_kms_key.main.arn
  snapshot_retention_limit   = 1
  auto_minor_version_upgrade = true
}
