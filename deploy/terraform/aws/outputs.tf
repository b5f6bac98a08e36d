output "redis_reader_secret_arn" {
  description = "The secret with the URL for services that read features."
  value       = aws_secretsmanager_secret.redis["reader"].arn
}

output "postgres_secret_arn" {
  description = "The secret that waits for the password of the role in PostgreSQL."
  value       = aws_secretsmanager_secret.postgres.arn
}

output "postgres_administrator_secret_arn" {
  description = "The secret in which RDS keeps the administrator's password."
  value       = one(aws_db_instance.postgres.master_user_secret[*].secret_arn)
}

output "artifacts_bucket" {
  description = "Where training sets go: extract -o s3://BUCKET/training-sets/..."
  value       = aws_s3_bucket.artifacts.bucket
}

output "task_definition_arn" {
  description = "For a run by hand: aws ecs run-task."
  value       = aws_ecs_task_definition.push.arn
}
