const { test, expect } = require('@playwright/test');
const { App } = require('./app');

test.describe('onboarding', () => {
  test('a new user sees the welcome screen first', async () => {
    const app = new App();
    expect(app.state.screen).toBe('welcome');
    expect(app.state.user).toBeNull();
  });

  test('three pages lead to the sign-up form', async () => {
    const app = new App();
    for (const page of ['benefits', 'permissions', 'sign-up']) await app.open(page);
    expect(app.state.screen).toBe('sign-up');
  });
});
