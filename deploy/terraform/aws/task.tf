# The task that builds the project and pushes it, and the schedule that starts it.

resource "aws_ecs_cluster" "main" {
  name = var.name
  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_cloudwatch_log_group" "push" {
  name              = "/${var.name}/push"
  retention_in_days = 365
  kms_key_id        = aws_kms_key.main.arn
}

resource "aws_ecs_task_definition" "push" {
  family                   = "${var.name}-push"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.task_cpu
  memory                   = var.task_memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn

  # Fargate makes a volume's folder as the image has it: /work belongs to the image's user, and /tmp to all.
  volume {
    name = "work"
  }
  volume {
    name = "temporary"
  }

  container_definitions = jsonencode([{
    name                   = "push"
    image                  = var.image
    essential              = true
    command                = ["timeout", tostring(var.timeout_seconds), "build-and-push"]
    user                   = "10001:10001"
    readonlyRootFilesystem = true
    stopTimeout            = 30
    linuxParameters        = { capabilities = { drop = ["ALL"] } }
    mountPoints = [
      { sourceVolume = "work", containerPath = "/work", readOnly = false },
      { sourceVolume = "temporary", containerPath = "/tmp", readOnly = false },
    ]
    environment = [
      { name = "FEATURE_SYNC_KEY_PREFIX", value = var.key_prefix },
      { name = "DBT_PROFILES_DIR", value = "/project" },
      { name = "PGHOST", value = aws_db_instance.postgres.address },
      { name = "PGPORT", value = tostring(aws_db_instance.postgres.port) },
      { name = "PGDATABASE", value = aws_db_instance.postgres.db_name },
      { name = "PGUSER", value = var.postgres_user },
    ]
    secrets = [
      { name = "FEATURE_SYNC_REDIS_URL", valueFrom = aws_secretsmanager_secret.redis["writer"].arn },
      { name = "PGPASSWORD", valueFrom = aws_secretsmanager_secret.postgres.arn },
    ]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = aws_cloudwatch_log_group.push.name
        "awslogs-region"        = var.region
        "awslogs-stream-prefix" = "push"
      }
    }
  }])
}

resource "aws_sqs_queue" "missed" {
  name                      = "${var.name}-missed-pushes"
  kms_master_key_id         = aws_kms_key.main.arn
  message_retention_seconds = 1209600
}

resource "aws_scheduler_schedule" "push" {
  name                         = "${var.name}-push"
  schedule_expression          = var.schedule
  schedule_expression_timezone = var.timezone
  kms_key_arn                  = aws_kms_key.main.arn
  flexible_time_window {
    mode = "OFF"
  }
  target {
    arn      = aws_ecs_cluster.main.arn
    role_arn = aws_iam_role.scheduler.arn
    ecs_parameters {
      task_definition_arn = aws_ecs_task_definition.push.arn
      launch_type         = "FARGATE"
      network_configuration {
        subnets          = var.private_subnet_ids
        security_groups  = [aws_security_group.task.id]
        assign_public_ip = false
      }
    }
    # Where no task could be started. One that was started and failed is an event of ECS: alert on it.
    retry_policy {
      maximum_event_age_in_seconds = 900
      maximum_retry_attempts       = 3
    }
    dead_letter_config {
      arn = aws_sqs_queue.missed.arn
    }
  }
}
