-- What has been due longest, whoever's it is: clients choose the hosts, and with many of them only this finds it quickly.
CREATE INDEX callback_oldest ON callback (due_at) WHERE state = 'pending';
