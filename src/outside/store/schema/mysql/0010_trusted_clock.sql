-- the newest time at which cron trusted the clock: no time is corrected to an earlier one
ALTER TABLE cron_clock ADD COLUMN trusted_at BIGINT NOT NULL DEFAULT 0;
