const { test, expect } = require('@playwright/test');
const { App } = require('./app');

test.describe('checkout', () => {
  test('the total adds up over several items', async () => {
    const app = new App();
    await app.add('coffee', 3.1, 2);
    await app.add('croissant', 2.45);
    expect(app.total()).toBe(8.65);
  });

  test('paying leads to the receipt', async () => {
    const app = new App();
    await app.add('coffee', 3.1);
    await app.open('payment');
    await app.open('receipt');
    console.log(`paid ${app.total().toFixed(2)}`);
    expect(app.state.screen).toBe('receipt');
  });
});
