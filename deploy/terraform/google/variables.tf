variable "project" {
  description = "The id of the project in Google Cloud."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "A project's id has 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  description = "Where Redis, the job and its schedule are."
  type        = string
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "A region is written like continent-name1."
  }
}

variable "location" {
  description = "Where BigQuery and the bucket keep data: a region, EU or US."
  type        = string
  validation {
    condition     = can(regex("^([A-Z]{2}|[a-z]+-[a-z]+[0-9]+)$", var.location))
    error_message = "A location is EU, US or a region."
  }
}

variable "name" {
  description = "The first part of every name: one installation of a project has one name."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,14}[a-z0-9]$", var.name))
    error_message = "A name has 3 to 16 characters: lower-case letters, digits and hyphens, a letter first."
  }
}

variable "labels" {
  description = "Labels of every resource, beside application and name."
  type        = map(string)
  default     = {}
}

variable "network" {
  description = "The id of the VPC network of Redis, with private services access set up: projects/.../global/networks/..."
  type        = string
  validation {
    condition     = can(regex("^projects/[^/]+/global/networks/[^/]+$", var.network))
    error_message = "A network's id is projects/PROJECT/global/networks/NAME."
  }
}

variable "subnetwork" {
  description = "The subnetwork in which the job runs, in the region."
  type        = string
  validation {
    condition     = can(regex("^projects/[^/]+/regions/[^/]+/subnetworks/[^/]+$", var.subnetwork))
    error_message = "A subnetwork's id is projects/PROJECT/regions/REGION/subnetworks/NAME."
  }
}

variable "dataset" {
  description = "The dataset of the models, as in dbt's profile. feature-sync's own is DATASET_feature_sync."
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z_][A-Za-z0-9_]{0,1000}$", var.dataset))
    error_message = "A dataset's name has letters, digits and underscores."
  }
}

variable "source_datasets" {
  description = "Datasets of this project that models read."
  type        = set(string)
  default     = []
}

variable "reader_members" {
  description = "Who may read the URL of Redis, such as serviceAccount:name@project.iam.gserviceaccount.com."
  type        = set(string)
  default     = []
  validation {
    condition     = alltrue([for member in var.reader_members : can(regex("^(serviceAccount|group):.+@.+$", member))])
    error_message = "Readers are service accounts or groups, never allUsers."
  }
}

variable "image" {
  description = "The image of your dbt project (deploy/docker/project.Dockerfile), by its digest."
  type        = string
  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "Name the image by its digest, as name@sha256:..., so that a run is what was tested."
  }
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
  description = "When to build and push, as cron writes it."
  type        = string
  default     = "15 * * * *"
  validation {
    condition     = length(split(" ", var.schedule)) == 5
    error_message = "A schedule has five fields, as in a crontab."
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
  default     = "Etc/UTC"
}

variable "redis_memory_gb" {
  description = "Memory of Redis; `push --dry-run` estimates what is needed."
  type        = number
  default     = 1
  validation {
    condition     = var.redis_memory_gb >= 1
    error_message = "Memorystore has 1 GB at least."
  }
}

variable "training_set_days" {
  description = "After how many days a training set moves to colder storage."
  type        = number
  default     = 90
}
