// Fails on purpose: shows what a failure looks like.
const { test, expect } = require('@playwright/test');
const { App } = require('./app');

test.describe('coupon', () => {
  test('an expired coupon changes nothing', async () => {
    const app = new App();
    await app.add('coffee', 3.1, 2);
    expect(app.total({ discount: 0.1 })).toBe(6.2);
  });

  test('a valid coupon takes ten percent off', async () => {
    const app = new App();
    await app.add('coffee', 3.1, 2);
    expect(app.total({ discount: 0.1 })).toBe(5.58);
  });
});
