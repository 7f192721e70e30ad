// Fails on the first attempt on purpose: with a retry it passes and is reported as flaky.
const { test, expect } = require('@playwright/test');
const { settle } = require('./app');

const attempt = JSON.parse(process.env.QGJOB_ATTEMPTS ?? '{}')['tests/notifications-flaky.spec.js'] ?? 2;

test('the badge shows the message that came in', async () => {
  await settle(300);
  const badge = attempt > 1 ? 1 : 0;
  expect(badge, 'the push message was late').toBe(1);
});
