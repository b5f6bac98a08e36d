terraform {
  required_version = ">= 1.9"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0, < 7.0"
    }
    random = {
      source  = "hashicorp/random"
      version = ">= 3.6, < 4.0"
    }
  }
  # The state holds the passwords of Redis: keep it in a bucket that is encrypted and that few may read.
  backend "s3" {}
}

provider "aws" {
  region = var.region
  default_tags {
    tags = merge({ application = "feature-sync", name = var.name }, var.tags)
  }
}
