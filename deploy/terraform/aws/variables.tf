variable "region" {
  description = "Where everything is, such as that of the VPC."
  type        = string
  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "A region is written like xx-name-1."
  }
}

variable "name" {
  description = "The first part of every name: one installation of an account has one name."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "A name has 3 to 20 characters: lower-case letters, digits and hyphens, a letter first."
  }
}

variable "tags" {
  description = "Tags of every resource, beside application and name."
  type        = map(string)
  default     = {}
}

variable "vpc_id" {
  description = "The VPC of Redis, PostgreSQL and the task."
  type        = string
  validation {
    condition     = can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "The id of a VPC begins with vpc-."
  }
}

variable "private_subnet_ids" {
  description = "Subnets without a route from the internet, in two zones at least. The task needs a way out to the image's registry."
  type        = list(string)
  validation {
    condition     = length(var.private_subnet_ids) >= 2 && alltrue([for id in var.private_subnet_ids : can(regex("^subnet-[0-9a-f]+$", id))])
    error_message = "Name two subnets at least; their ids begin with subnet-."
  }
}

variable "reader_security_group_ids" {
  description = "Security groups of the services that read features from Redis, by a name of your choice."
  type        = map(string)
  default     = {}
}

variable "image" {
  description = "The image of your dbt project (deploy/docker/project.Dockerfile), by its digest."
  type        = string
  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "Name the image by its digest, as name@sha256:..., so that a run is what was tested."
  }
}

variable "image_repository_arn" {
  description = "The ECR repository of the image; null if the image is elsewhere and public."
  type        = string
  default     = null
}

variable "key_prefix" {
  description = "The prefix of all keys in Redis: the project's name."
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z0-9_]+$", var.key_prefix))
    error_message = "A key prefix has letters, digits and underscores."
  }
}

variable "schedule" {
  description = "When to build and push, as EventBridge Scheduler writes it."
  type        = string
  default     = "cron(15 * * * ? *)"
  validation {
    condition     = can(regex("^(cron|rate)\\(.+\\)$", var.schedule))
    error_message = "A schedule is cron(...) or rate(...)."
  }
}

variable "timeout_seconds" {
  description = "How long a run may take: less than lies between two, since nothing else keeps them apart."
  type        = number
  default     = 3000
  validation {
    condition     = var.timeout_seconds >= 60 && var.timeout_seconds <= 86400
    error_message = "A run takes from a minute to a day."
  }
}

variable "timezone" {
  description = "The zone of the schedule."
  type        = string
  default     = "UTC"
}

variable "task_cpu" {
  description = "CPU units of the task: 1024 are one."
  type        = number
  default     = 1024
  validation {
    condition     = contains([512, 1024, 2048, 4096], var.task_cpu)
    error_message = "Fargate has 512, 1024, 2048 or 4096 units."
  }
}

variable "task_memory" {
  description = "Memory of the task in MiB."
  type        = number
  default     = 2048
  validation {
    condition     = var.task_memory >= 1024 && var.task_memory % 1024 == 0
    error_message = "Memory comes in whole GiB."
  }
}

variable "redis_node_type" {
  description = "The size of a node of ElastiCache; `push --dry-run` estimates the memory that is needed."
  type        = string
  default     = "cache.t4g.small"
}

variable "postgres_instance_class" {
  description = "The size of PostgreSQL."
  type        = string
  default     = "db.t4g.medium"
}

variable "postgres_storage_gb" {
  description = "Storage of PostgreSQL; it grows to four times that by itself."
  type        = number
  default     = 50
  validation {
    condition     = var.postgres_storage_gb >= 20
    error_message = "RDS has 20 GB at least."
  }
}

variable "postgres_user" {
  description = "The role in PostgreSQL that builds and pushes; create it after the instance, with the grants of docs/pushing.md."
  type        = string
  default     = "feature_sync"
}

variable "training_set_days" {
  description = "After how many days a training set moves to colder storage."
  type        = number
  default     = 90
}
