"""The mails' templates, and how they are rendered."""

from worker.mail_templates.rendering import FOLLOW_ON, SAMPLES, WELCOME, MailTemplates, Rendered, TemplateError

__all__ = ["FOLLOW_ON", "SAMPLES", "WELCOME", "MailTemplates", "Rendered", "TemplateError"]
