const { test, expect } = require('@playwright/test');
const { App } = require('./app');

test.describe('profile', () => {
  test('shows who is signed in', async () => {
    const app = new App();
    await app.signIn('grace@example.com', 'correct horse');
    await app.open('profile');
    expect(app.state.user).toEqual({ email: 'grace@example.com', name: 'grace' });
  });

  test.skip('the picture can be changed', async () => {
    // needs a camera
  });
});
